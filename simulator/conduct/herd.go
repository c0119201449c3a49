package conduct

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/frames"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// herd is the fleet of a run: in this process, or in several others.
type herd interface {
	// live powers the units on, and off again when ctx ends. Its error is what is wrong with units, or, at once, errLost.
	live(ctx context.Context) error
	// counts are what the lines have carried so far, and what processes of the herd's own have taken.
	counts() counters
	// up is told when the fleet has come up.
	up(at time.Time) error
	// touch lets an event happen to units.
	touch(units []int, e event) error
	// look looks at the disks, when the fleet is off.
	look() (findings, error)
	close() error
}

// counters are of a fleet.
type counters struct {
	Received, Sent    int64 // bytes
	Connections, Open int64

	// Of processes of the fleet's own; nothing where it is in this one.
	CPU  float64       // seconds
	Mem  int64         // bytes resident
	Late time.Duration // that one of them woke up too late, at worst, since this was asked last
}

// findings are what the disks and lines of a fleet say.
type findings struct {
	Version  map[int]string // that would boot, by unit
	Received map[int]int64  // bytes, by unit
	Bricks   []string       // why units would not, in words
}

// place is where a fleet finds everything.
type place struct {
	Dir       string            `json:"dir"` // of the fleet
	Service   string            `json:"service"`
	CA        string            `json:"ca"`
	Root      string            `json:"root"`
	ClaimFile string            `json:"claim"`
	Proxy     string            `json:"proxy"`
	Images    map[string]string `json:"images"` // files, by version
}

// fleetConfig is the fleet of a scenario, as far as the scenario says what it is like.
func fleetConfig(s *scenario.Scenario, c *cast, p place) (fleet.Config, error) {
	largest := int64(0)
	for _, path := range p.Images {
		info, err := os.Stat(path)
		if err != nil {
			return fleet.Config{}, err
		}
		largest = max(largest, info.Size())
	}
	t, first := s.Timing, s.Releases[0].Version
	return fleet.Config{
		Dir: p.Dir, Units: s.Units, Seed: s.Seed, Service: p.Service, CA: p.CA, Root: p.Root, ClaimFile: p.ClaimFile,
		Product: scenario.Product, Hardware: scenario.Hardware, Image: p.Images[first], Shared: true,
		Factory: agent.Factory{Version: first, Counter: counter(s, first)}, SlotSize: largest,
		Poll: t.Poll.D(), FallbackPoll: t.FallbackPoll.D(), RetryWait: t.Retry.D(), RetryMax: t.RetryMax.D(), Health: t.Health.D(),
		Boot: t.Boot.D(), Ramp: t.Ramp, Limits: install.Limits{Workers: 1, Buffers: 1 << 20}, Proxy: p.Proxy,
		Each: func(n int) fleet.Unit { return c.roles[n-1].unit },
	}, nil
}

// counter is the release counter of a version: its place in the scenario.
func counter(s *scenario.Scenario, version string) int64 {
	return int64(1 + slices.IndexFunc(s.Releases, func(r scenario.Release) bool { return r.Version == version }))
}

// own is a herd in this process.
type own struct {
	fleet  *fleet.Fleet
	s      *scenario.Scenario
	wall   *wall
	images map[string]string
}

func (o *own) live(ctx context.Context) error { return o.fleet.Run(ctx) }

func (o *own) counts() counters {
	c := o.fleet.Counters()
	return counters{Received: c.Received.Load(), Sent: c.Sent.Load(), Connections: c.Connections.Load(), Open: c.Open.Load()}
}

func (o *own) up(at time.Time) error {
	o.wall.start(at)
	return nil
}

func (o *own) touch(units []int, e event) error {
	for _, n := range units {
		o.touchOne(n, e)
	}
	return nil
}

func (o *own) touchOne(n int, e event) {
	line := o.fleet.Line(n)
	switch e.Does() {
	case "repository":
		line.BlockWeb(e.Repository == "down")
	case "power_cut":
		f := o.fleet.Faults(n)
		f.Off = e.Off.D()
		o.fleet.SetFaults(n, f)
		o.fleet.Cut(n)
	case "line":
		line.Pull(e.Line == "down")
	case "network":
		line.SetClass(o.s.Networks[e.Network].Class())
	case "fault":
		o.fleet.SetFaults(n, e.Fault.Faults(o.fleet.Faults(n)))
		line.SetClass(spoiled(line.Class(), *e.Fault))
	}
}

// image is what a slot that holds a release begins with.
type image struct {
	content frames.Content
	length  int64
}

func (o *own) look() (findings, error) {
	f, images := findings{Version: map[int]string{}, Received: map[int]int64{}}, map[string]image{}
	for version, path := range o.images {
		info, err := os.Stat(path)
		if err != nil {
			return f, err
		}
		c, err := o.fleet.Store().Import(path)
		if err != nil {
			return f, err
		}
		images[version] = image{c, info.Size()}
	}
	for _, n := range o.fleet.Numbers() {
		f.Received[n] = o.fleet.Line(n).Received()
		seen, err := o.fleet.Look(n)
		if err == nil {
			err = holds(o.fleet.Store(), seen, images)
		}
		if err != nil {
			f.Bricks = append(f.Bricks, fmt.Sprintf("%s: %v", fleet.UnitName(n), err))
			continue
		}
		f.Version[n] = seen.Version
	}
	return f, nil
}

// holds compares the slot that would boot with the release that it is said to hold, byte for byte.
func holds(store *frames.Store, seen fleet.Seen, images map[string]image) error {
	want, known := images[seen.Version]
	if !known {
		return fmt.Errorf("it says that it runs %q, which no release is", seen.Version)
	}
	same, err := store.Begins(seen.Content, want.content, want.length)
	if err == nil && !same {
		err = fmt.Errorf("slot %s would boot, and does not hold %s", seen.Slot, seen.Version)
	}
	return err
}

func (o *own) close() error { return o.fleet.Close() }

// makeFleet makes the herd beside the service that runs.
func (r *run) makeFleet(ctx context.Context) error {
	p := place{
		Dir: filepath.Join(r.Dir, "fleet"), Service: r.site.URL(), CA: r.site.CA(), Root: r.site.Root(), ClaimFile: r.site.Claim(),
		Proxy: r.proxy.URL(), Images: r.images,
	}
	if r.Processes > 1 {
		return r.splitFleet(ctx, p)
	}
	c, err := fleetConfig(r.s, r.cast, p)
	if err != nil {
		return err
	}
	c.Memory, c.Apart, c.Exchange = r.exchange != nil, r.out.Virtual, r.exchange
	c.Idle, c.Look, c.Wall, c.Observe = r.idle(), r.answerLook(), r.wall.now, r.tracker.observe
	f, err := fleet.New(ctx, c, scenario.Agent, r.Log)
	if err != nil {
		return err
	}
	r.fleet = &own{fleet: f, s: r.s, wall: &r.wall, images: r.images}
	r.sampler = newSampler(r.tracker, r.fleet, r.site)
	return nil
}

// splitFleet makes the herd in processes of its own.
func (r *run) splitFleet(ctx context.Context, p place) error {
	text, err := r.s.Text()
	if err != nil {
		return err
	}
	s, err := newSplit(ctx, order{Scenario: string(text), Place: p}, r.Processes, r.tracker.observe)
	if err != nil {
		return err
	}
	r.fleet = s
	r.sampler = newSampler(r.tracker, r.fleet, r.site)
	return nil
}
