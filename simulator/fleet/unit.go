package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/simulator/network"
)

// unit is one machine: its folder, its bootloader, its line, and the agent that its system starts.
type unit struct {
	number int
	name   string
	dir    string
	fleet  *Fleet
	cfg    agent.Config
	opt    agent.Options
	log    *slog.Logger
	line   *network.Line
	people *people    // nil if nobody uses it
	cloned int        // unit whose identity it has; 0 for its own
	files  durable.FS // without power nobody reads or writes it
	skew   atomic.Int64

	mu     sync.Mutex
	rand   *rand.Rand
	faults Faults
	power  *power          // nil while it is off
	target string          // version of the update under way
	struck map[string]bool // update and state at which the power was cut
	depth  float64         // of the download at which it is to be cut
}

// restartWait is what a service manager waits before it starts an agent that failed again.
const restartWait = 5 * time.Second

func (f *Fleet) newUnit(n int, version string, log *slog.Logger) (*unit, error) {
	name, each := UnitName(n), f.cfg.each(n)
	u := &unit{
		number: n, name: name, dir: filepath.Join(f.cfg.Dir, name), fleet: f, log: log.With("unit", name), struck: map[string]bool{},
		line: network.New(each.Line, f.cfg.Seed^uint64(n), &f.counters), rand: rand.New(rand.NewPCG(f.cfg.Seed, uint64(n))),
	}
	u.line.Over(f.cfg.Exchange)
	if f.cfg.Apart {
		u.line.Apart()
	}
	if f.cfg.loopback() {
		u.line.From(net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)))
	}
	u.setFaults(each.Faults)
	u.cloned, u.files = each.CloneOf, durable.System{}
	if f.cfg.Memory {
		u.files = newMemory(u.dir)
	}
	var err error
	if u.cfg, err = f.cfg.agentConfig(n, u.dir); err != nil {
		return nil, err
	}
	if each.Agent != "" {
		version = each.Agent
	}
	u.opt = u.options(f.cfg, version)
	u.people = newPeople(u, each.Hours)
	return u, nil
}

func (u *unit) setFaults(f Faults) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults, u.depth = f, 0.1+0.8*u.rand.Float64()
	u.skew.Store(int64(f.Skew))
}

func (u *unit) theFaults() Faults {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.faults
}

// random is within [0,1). It depends on the unit and the moment, and not on which goroutine of the unit asked before.
func (u *unit) random() float64 {
	return network.Dice(u.fleet.cfg.Seed^uint64(u.number)<<32, uint64(time.Now().UnixNano()))
}

// run is the life of the machine: power on, boot, agent, reboot or power cut, until ctx ends.
func (u *unit) run(ctx context.Context) error {
	if u.cloned != 0 && !u.takeIdentity(ctx) {
		return nil
	}
	for n := 1; ctx.Err() == nil; n++ {
		if err := u.start(ctx, n); err != nil {
			return u.brick(err)
		}
	}
	return nil
}

func (u *unit) brick(err error) error {
	err = fmt.Errorf("%s: %w", u.name, err)
	u.say(Event{Kind: Bricked, Detail: err.Error()})
	return err
}

// start is the n-th time from one power-on to the next. Its error is a brick.
//
// Units wait below it for most of their lives, and there are many: what takes room on the stack is done in functions that have returned,
// and are not inlined.
func (u *unit) start(ctx context.Context, n int) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	p := &power{line: u.line, stop: stop}
	u.line.Restore()
	b, err := u.boot(p, n)
	if err != nil {
		return err
	}
	defer u.setPower(nil)
	wait(inner, u.bootTime())
	if p.has() {
		u.live(inner, p, b)
	}
	if !p.has() {
		u.dark(ctx, b)
	}
	return nil
}

// booted is what a bootloader has started.
type booted struct {
	file *boot.File
	disk durable.Disk
	slot boot.Slot
}

// boot is what happens between the power's coming and the system's.
func (u *unit) boot(p *power, n int) (b *booted, err error) {
	u.opt.BootID = fmt.Sprintf("%s-%d-%d", u.name, time.Now().UnixNano(), n)
	b = &booted{disk: durable.Disk{FS: disk{FS: u.files, power: p, lazy: u.fleet.store != nil, locks: u.fleet.locks}}}
	if b.file, err = boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{Disk: b.disk}); err != nil {
		return nil, fmt.Errorf("opening the bootloader: %w", err)
	}
	if b.slot, err = b.file.Boot(); err != nil {
		return nil, fmt.Errorf("the bootloader: %w", err)
	}
	u.say(Event{Kind: PoweredOn, Slot: string(b.slot)})
	u.setPower(p)
	return b, nil
}

// dark is without power, until that comes back.
//
//go:noinline
func (u *unit) dark(ctx context.Context, b *booted) {
	u.say(Event{Kind: PoweredOff, Slot: string(b.slot)})
	wait(ctx, u.theFaults().Off)
}

func (u *unit) bootTime() time.Duration {
	return u.fleet.cfg.Boot/2 + time.Duration(u.random()*float64(u.fleet.cfg.Boot/2))
}

func (u *unit) setPower(p *power) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.power = p
}

// live is what the system does that was booted, until it ends.
func (u *unit) live(ctx context.Context, p *power, b *booted) {
	if u.lame(ctx, b) {
		return
	}
	a, err := u.agent(p, b)
	if err == nil {
		leave := u.people.attend(ctx, b)
		err = a.Run(ctx)
		leave()
	}
	u.mourn(ctx, p, err)
}

// mourn sees to it that an agent which has ended is started again.
//
//go:noinline
func (u *unit) mourn(ctx context.Context, p *power, err error) {
	if errors.Is(err, agent.ErrReboot) {
		u.people.disturbed()
	}
	if err != nil && !errors.Is(err, agent.ErrReboot) && p.has() && ctx.Err() == nil {
		u.ended(err)
		wait(ctx, restartWait)
	}
}

func (u *unit) onTrial(b *booted) bool {
	state, err := b.file.State()
	return err == nil && state.Trial == state.Running
}

func (u *unit) ended(err error) {
	u.log.Error("agent ended", "error", err)
	u.say(Event{Kind: AgentEnded, Detail: err.Error()})
}

// lame says that what is on trial never gets as far as an agent.
//
//go:noinline
func (u *unit) lame(ctx context.Context, b *booted) bool {
	if !u.onTrial(b) {
		return false
	}
	u.mu.Lock()
	f, target := u.faults, u.target
	u.mu.Unlock()
	switch {
	case with(f.Loops, target):
		return true
	case with(f.Hangs, target):
		u.say(Event{Kind: Hung, To: target})
		if f.Watchdog == 0 {
			<-ctx.Done()
		}
		wait(ctx, f.Watchdog)
		return true
	}
	return false
}

// agent makes the agent of what was booted.
//
//go:noinline
func (u *unit) agent(p *power, b *booted) (*agent.Agent, error) {
	o := u.opt
	o.Boot, o.Disk = b.file, b.disk
	if u.fleet.store != nil {
		o.OpenSlot, o.OpenBase = u.openSlot(p), u.openBase
	}
	return agent.New(u.cfg, o)
}

//go:noinline
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (u *unit) say(e Event) {
	e.Unit, e.Number = u.name, u.number
	u.fleet.tell(e)
}

// updated is told of each transition, on the agent's own goroutine.
func (u *unit) updated(e wire.Event) {
	u.mu.Lock()
	u.target = e.To
	u.mu.Unlock()
	u.say(Event{
		Kind: Updated, State: e.State, From: e.From, To: e.To, Reason: e.Reason, Detail: e.Detail,
		Fetched: e.Fetched, Written: e.Written, Seconds: float64(e.Millis) / 1000,
	})
	if e.State != wire.Downloading {
		u.strike(e.State)
	}
}

// strike cuts the power if that is to be in this state and was not yet.
func (u *unit) strike(s wire.State) {
	u.mu.Lock()
	key, due := u.target+" "+string(s), false
	for _, at := range u.faults.CutAt {
		due = due || at == s && !u.struck[key]
	}
	u.struck[key] = u.struck[key] || due
	u.mu.Unlock()
	if due {
		u.cut()
	}
}

func (u *unit) cut() {
	u.mu.Lock()
	p := u.power
	u.mu.Unlock()
	if p != nil {
		p.cut()
	}
}
