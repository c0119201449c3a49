package fleet

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/simulator/frames"
)

// deliver makes what the factory would: folders, the image in slot a, the configuration. What is there already stays, so that
// a fleet goes on where it was.
func (u *unit) deliver() error {
	for _, dir := range []string{"state", "boot"} {
		if err := u.still().MkdirAll(filepath.Join(u.dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return err
	}
	if err := u.fillSlots(); err != nil {
		return err
	}
	config, err := json.MarshalIndent(u.cfg, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(u.dir, "agent.json"), append(config, '\n'), 0o600)
}

// fillSlots writes slot a last: a unit whose slot a exists was delivered whole.
func (u *unit) fillSlots() error {
	if u.fleet.store != nil {
		if c, err := frames.Load(u.cfg.Slots.A); c != nil || err != nil {
			return err
		}
		return u.fleet.factory.Save(u.cfg.Slots.A)
	}
	if _, err := os.Stat(u.cfg.Slots.A); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(u.cfg.Slots.B, nil, 0o600); err != nil {
		return err
	}
	part := u.cfg.Slots.A + ".part"
	if err := copyFile(u.fleet.cfg.Image, part); err != nil {
		return err
	}
	return os.Rename(part, u.cfg.Slots.A)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // copy_file_range, where the filesystem has it
	return errors.Join(err, out.Close())
}

// still is the disk as somebody sees it who has taken it out of the machine.
func (u *unit) still() durable.Disk {
	return durable.Disk{FS: disk{FS: u.files, power: &power{}, lazy: u.fleet.store != nil, locks: u.fleet.locks}}
}

// enrolled reports whether the unit has been, in an earlier run.
func (u *unit) enrolled() bool {
	_, err := u.still().Stat(filepath.Join(u.cfg.State, "identity.json"))
	return err == nil
}

// cloneWait is how often a clone looks whether there is an identity to take.
const cloneWait = 200 * time.Millisecond

// takeIdentity makes the unit a clone: somebody has copied the medium of another, key and all. It reports false if ctx ended
// first.
func (u *unit) takeIdentity(ctx context.Context) bool {
	from, state := u.fleet.medium(u.cloned)
	for ctx.Err() == nil {
		errs := make([]error, 0, 2)
		for _, name := range []string{"device.key", "identity.json"} { // the identity comes last with the other unit, too
			b, err := from.ReadFile(filepath.Join(state, name))
			if err == nil {
				err = u.still().WriteFile(filepath.Join(u.cfg.State, name), b, 0o600)
			}
			errs = append(errs, err)
		}
		if errors.Join(errs...) == nil {
			return true
		}
		wait(ctx, cloneWait)
	}
	return false
}

// medium is the disk of unit n as somebody sees it who has taken it out of the machine, whichever process has the unit; and the path
// of its agent's folder.
func (f *Fleet) medium(n int) (durable.Disk, string) {
	if f.cfg.Part.Has(n) {
		u := f.unit(n)
		return u.still(), u.cfg.State
	}
	return durable.Disk{FS: durable.System{}}, filepath.Join(f.cfg.Dir, UnitName(n), "state")
}

// openBase opens the slot that runs, to be patched.
func (u *unit) openBase(path string) (agent.Base, error) {
	return u.fleet.store.OpenView(path, u.cfg.SlotSize)
}

// openSlot opens slots that lose their power with the unit.
func (u *unit) openSlot(p *power) agent.OpenSlot {
	return func(path string, o install.SlotOptions) (install.Device, error) {
		s, err := u.fleet.store.OpenSlot(path, frames.SlotOptions{
			Capacity: u.cfg.SlotSize, Full: func() bool { return u.theFaults().Full },
		})
		if err != nil {
			return nil, err
		}
		return p.hold(s)
	}
}

// options are the world of the agent of this unit.
func (u *unit) options(c Config, version string) agent.Options {
	timing := link.Timing{Poll: c.Poll, FallbackPoll: c.FallbackPoll}
	if c.FallbackPoll > 0 {
		timing.Start, timing.BackoffMin, timing.BackoffMax = min(3*time.Second, c.FallbackPoll), c.FallbackPoll, 4*c.FallbackPoll
	}
	return agent.Options{
		Rand: u.random, Names: &names{from: rand.NewChaCha8(u.seed())}, Secure: u.secure(), Log: u.log, Version: version, Link: timing, Retry: agent.Retry{Min: c.RetryWait, Max: c.RetryMax}, Limits: c.Limits, Dial: u.line.Dial, Idle: c.Idle, Look: c.Look,
		BuildTime: u.fleet.made, // as firmware has it: no clock is believed that is behind it
		Clock:     func() time.Time { return time.Now().Add(time.Duration(u.skew.Load())) },
		Health:    []health.Check{{Name: "room", Run: u.healthy}},
		Roots:     &u.fleet.roots, CA: u.fleet.ca, Frames: &u.fleet.frames,
		Progress: u.progressed, Observe: u.updated,
	}
}

// secure is what the exchange has in the place of TLS; nil for TLS.
func (u *unit) secure() agent.Secure {
	secure := u.fleet.cfg.Exchange.Secure()
	if secure == nil {
		return nil
	}
	return func(c net.Conn, cfg *tls.Config) link.Secured { return secure(c, cfg) }
}

// seed is of what the unit calls its updates.
func (u *unit) seed() (seed [32]byte) {
	binary.LittleEndian.PutUint64(seed[:], u.fleet.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(u.number))
	binary.LittleEndian.PutUint64(seed[16:], uint64(u.fleet.made.UnixNano())) // what has a new name must not have an old one again
	return seed
}

// names is a source of names for several goroutines.
type names struct {
	mu   sync.Mutex
	from *rand.ChaCha8
}

func (n *names) Read(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.from.Read(p)
}

// healthy is the product's own check of what runs on trial.
func (u *unit) healthy(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if with(u.faults.Unhealthy, u.target) {
		return fmt.Errorf("the display stays dark with %s", u.target)
	}
	return nil
}

func (u *unit) progressed(p install.Progress) {
	u.mu.Lock()
	deep := p.Phase == install.PhaseInstall && p.Total > 0 && float64(p.Done) >= u.depth*float64(p.Total)
	u.mu.Unlock()
	if deep {
		u.strike(wire.Downloading)
	}
}
