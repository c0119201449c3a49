package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/simulator/frames"
	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// Fleet is a set of units that share this process and nothing else.
type Fleet struct {
	cfg      Config
	units    []*unit
	lock     *durable.Lock
	store    *frames.Store // nil: slots are files
	factory  frames.Content
	locks    *locks
	counters network.Counters
	made     time.Time    // when this process took the fleet
	roots    client.Roots // that units have verified
	ca       *x509.CertPool
	frames   delta.Shared  // that units have made of patches
	turns    chan struct{} // as many as enrol at once
	mu       sync.Mutex    // one Observe at a time
}

// ErrRunning: another process runs this fleet.
var ErrRunning = errors.New("another process runs this fleet")

// New makes the units that are missing in the folder and takes the folder for this process. log is what the agents say;
// version is the agents' own, of those that Config.Each gives no other.
func New(ctx context.Context, c Config, version string, log *slog.Logger) (*Fleet, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.TryLock(c.Part.own(c.Dir, "lock"))
	if err != nil {
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("%w: %w", ErrRunning, err)
		}
		return nil, err
	}
	f := &Fleet{cfg: c, lock: lock, made: time.Now(), locks: &locks{held: map[string]bool{}}, turns: make(chan struct{}, max(1, upAtOnce*runtime.GOMAXPROCS(0)/c.Part.of()))}
	if err := f.open(ctx, version, log); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) open(ctx context.Context, version string, log *slog.Logger) (err error) {
	if f.ca, err = authorities(f.cfg.CA); err != nil {
		return err
	}
	if f.cfg.Factory.Image, err = sum(f.cfg.Image); err != nil {
		return err
	}
	if f.cfg.Shared {
		if f.store, err = frames.Open(f.cfg.Part.own(f.cfg.Dir, "store")); err != nil {
			return err
		}
		if f.factory, err = f.store.Import(f.cfg.Image); err != nil {
			return err
		}
	}
	return f.deliver(ctx, version, log)
}

// sum is what a factory knows of its image.
func sum(path string) (b firmware.Blob, err error) {
	in, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer in.Close()
	hash := sha256.New()
	if b.Length, err = io.Copy(hash, in); err == nil {
		b.SHA256 = firmware.Digest(hash.Sum(nil))
	}
	return b, err
}

// authorities are those of a file, once for all units; nil for a file that holds none, of which the agents complain.
func authorities(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(b) {
		return pool, nil
	}
	return nil, nil
}

// Close gives the folder back. It is the last call.
func (f *Fleet) Close() error {
	var err error
	if f.store != nil {
		err = f.store.Close()
	}
	return errors.Join(err, f.lock.Unlock())
}

func (f *Fleet) deliver(ctx context.Context, version string, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	numbers := f.Numbers()
	f.units = make([]*unit, len(numbers))
	for i, n := range numbers {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			u, err := f.newUnit(n, version, log)
			if err == nil {
				f.units[i] = u
				err = u.deliver()
			}
			if err != nil {
				return fmt.Errorf("delivering %s: %w", UnitName(n), err)
			}
			return nil
		})
	}
	return g.Wait()
}

const (
	// upAtOnce is how many units enrol at once for each processor. More of them would keep each other waiting until they give up, and
	// begin anew.
	upAtOnce = 32
	// upMost is how long others wait for a unit that does not enrol.
	upMost = 10 * time.Second
)

// turn waits until it is the unit's turn to be powered on, and to enrol. All at once, nobody waits; in virtual time, nobody waits for
// others.
//
//go:noinline
func (f *Fleet) turn(ctx context.Context, u *unit) {
	if f.cfg.Ramp <= 0 {
		return
	}
	wait(ctx, time.Duration(float64(u.number-1)/f.cfg.Ramp*float64(time.Second)))
	if f.cfg.Apart || u.enrolled() {
		return
	}
	select {
	case f.turns <- struct{}{}:
	case <-ctx.Done():
		return
	}
	next := sync.OnceFunc(func() { <-f.turns })
	u.opt.Notify.Enrolled = next
	time.AfterFunc(upMost, next)
}

// Run powers the units on, Config.Ramp of them a second at most, and returns when ctx has ended and all agents have closed. Its error
// is that of units whose bootloader could not be read: bricks, which no test of ours may make.
func (f *Fleet) Run(ctx context.Context) error {
	var g sync.WaitGroup
	bricks := make([]error, len(f.units))
	for i, u := range f.units {
		g.Go(func() {
			f.turn(ctx, u)
			bricks[i] = u.run(ctx)
		})
	}
	g.Wait()
	return errors.Join(bricks...)
}

func (f *Fleet) tell(e Event) {
	if f.cfg.Observe == nil {
		return
	}
	e.Time = time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg.Observe(e)
}

// Counters is what went over all lines.
func (f *Fleet) Counters() *network.Counters { return &f.counters }

// Line is the line of unit n.
func (f *Fleet) Line(n int) *network.Line { return f.unit(n).line }

// SetFaults replaces what goes wrong with unit n.
func (f *Fleet) SetFaults(n int, faults Faults) { f.unit(n).setFaults(faults) }

// Faults is what goes wrong with unit n.
func (f *Fleet) Faults(n int) Faults { return f.unit(n).theFaults() }

// Cut cuts the power of unit n. It comes back after Faults.Off.
func (f *Fleet) Cut(n int) { f.unit(n).cut() }

// Store is what the slots are views over; nil where they are files.
func (f *Fleet) Store() *frames.Store { return f.store }
