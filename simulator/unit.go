package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
)

// unit is one machine: its folder, its bootloader, and the agent that its system starts.
type unit struct {
	name string
	dir  string
	cfg  agent.Config
	opt  agent.Options
	log  *slog.Logger
	tell func(Event)
}

// restartWait is what a service manager waits before it starts an agent that failed again.
const restartWait = 5 * time.Second

// deliver makes what the factory would: folders, the image in slot a, hooks, the configuration. What is there already
// stays, so that a fleet goes on where it was.
func (u *unit) deliver(image, sickness string) error {
	for _, dir := range []string{"state", "boot", "health.d"} {
		if err := os.MkdirAll(filepath.Join(u.dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := u.fillSlots(image); err != nil {
		return err
	}
	if err := u.hook(sickness); err != nil {
		return err
	}
	config, err := json.MarshalIndent(u.cfg, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(u.dir, "agent.json"), append(config, '\n'), 0o600)
}

// fillSlots writes slot a last: a unit whose slot a exists was delivered whole.
func (u *unit) fillSlots(image string) error {
	if _, err := os.Stat(u.cfg.Slots.A); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(u.cfg.Slots.B, nil, 0o600); err != nil {
		return err
	}
	part := u.cfg.Slots.A + ".part"
	if err := copyImage(image, part); err != nil {
		return err
	}
	return os.Rename(part, u.cfg.Slots.A)
}

func copyImage(from, to string) error {
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

// hook gives a sick unit a health hook that refuses one version, and takes it from a healthy one.
func (u *unit) hook(sickness string) error {
	path := filepath.Join(u.cfg.Health.Hooks, "10-room")
	if sickness == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	script := fmt.Sprintf("#!/bin/sh\n[ \"$FAIRLEAD_VERSION\" != %q ] || { echo \"the display stays dark\"; exit 1; }\n", sickness)
	return os.WriteFile(path, []byte(script), 0o700)
}

// run is the life of the machine: power on, boot, agent, reboot, until ctx ends.
func (u *unit) run(ctx context.Context) error {
	loader, err := boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{})
	if err != nil {
		return err
	}
	u.opt.Boot = loader
	for n := 1; ctx.Err() == nil; n++ {
		slot, err := loader.Boot()
		if err != nil {
			return fmt.Errorf("the bootloader of %s: %w", u.name, err)
		}
		u.tell(Event{Unit: u.name, Kind: PoweredOn, Slot: string(slot)})
		u.opt.BootID = fmt.Sprintf("%s-%d-%d", u.name, time.Now().UnixNano(), n)
		if err := u.start(ctx); err != nil {
			u.log.Error("agent ended", "unit", u.name, "error", err)
			u.tell(Event{Unit: u.name, Kind: AgentEnded, Detail: err.Error()})
			wait(ctx, restartWait)
		}
	}
	return nil
}

// start runs the agent until it ends or wants a reboot, which is no error here.
func (u *unit) start(ctx context.Context) error {
	a, err := agent.New(u.cfg, u.opt)
	if err != nil {
		return err
	}
	if err := a.Run(ctx); err != nil && !errors.Is(err, agent.ErrReboot) {
		return err
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// options are the world of the agent of this unit.
func (u *unit) options(c Config, version string) agent.Options {
	timing := link.Timing{FallbackPoll: c.FallbackPoll}
	if c.FallbackPoll > 0 {
		timing.Start, timing.BackoffMin, timing.BackoffMax = min(3*time.Second, c.FallbackPoll), c.FallbackPoll, 4*c.FallbackPoll
	}
	return agent.Options{
		Log: u.log.With("unit", u.name), Version: version, Link: timing, Retry: agent.Retry{Min: c.RetryWait},
		Observe: func(e wire.Event) {
			u.tell(Event{
				Unit: u.name, Kind: Updated, State: e.State, From: e.From, To: e.To, Reason: e.Reason, Detail: e.Detail,
				Fetched: e.Fetched, Written: e.Written, Seconds: float64(e.Millis) / 1000,
			})
		},
	}
}
