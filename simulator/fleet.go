package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Kinds of events.
const (
	PoweredOn  = "powered_on"  // the bootloader chose a slot
	Updated    = "updated"     // an update took a step
	AgentEnded = "agent_ended" // the agent failed, and is started again
)

// Event is something that happened to one unit.
type Event struct {
	Time    time.Time  `json:"time"`
	Unit    string     `json:"unit"`
	Kind    string     `json:"kind"`
	Slot    string     `json:"slot,omitempty"`
	State   wire.State `json:"state,omitempty"`
	From    string     `json:"from,omitempty"`
	To      string     `json:"to,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	Fetched int64      `json:"fetched,omitempty"` // bytes
	Written int64      `json:"written,omitempty"` // bytes
	Seconds float64    `json:"seconds,omitempty"` // since the update began
}

// Fleet is a set of units that share this process and nothing else.
type Fleet struct {
	cfg   Config
	units []*unit
	lock  *durable.Lock
	mu    sync.Mutex // one Observe at a time
}

// ErrRunning: another process runs this fleet.
var ErrRunning = errors.New("another process runs this fleet")

// New makes the units that are missing in the folder and takes the folder for this process. log is what the agents say;
// version is the agents' own.
func New(ctx context.Context, c Config, version string, log *slog.Logger) (*Fleet, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.TryLock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("%w: %w", ErrRunning, err)
		}
		return nil, err
	}
	f := &Fleet{cfg: c, lock: lock}
	if err := f.deliver(ctx, version, log); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return f, nil
}

func (f *Fleet) deliver(ctx context.Context, version string, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	f.units = make([]*unit, f.cfg.Units)
	for i := range f.units {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			u := &unit{name: UnitName(i + 1), log: log, tell: f.tell}
			u.dir = filepath.Join(f.cfg.Dir, u.name)
			cfg, err := f.cfg.agentConfig(i+1, u.dir)
			if err != nil {
				return err
			}
			u.cfg, u.opt = cfg, u.options(f.cfg, version)
			f.units[i] = u
			if err := u.deliver(f.cfg.Image, f.cfg.Sick[u.name]); err != nil {
				return fmt.Errorf("delivering %s: %w", u.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Run powers every unit on and returns when ctx has ended and all agents have closed. Its error is that of a unit whose
// bootloader could not be read: a brick, which no test of ours may make.
func (f *Fleet) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, u := range f.units {
		g.Go(func() error { return u.run(ctx) })
	}
	return errors.Join(g.Wait(), f.lock.Unlock())
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
