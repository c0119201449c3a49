package conduct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// childEnv is set in the environment of a process of a fleet.
const childEnv = "FAIRLEAD_SIM_FLEET"

// idleGC is how often the collector comes when the fleet is up: a fleet is mostly memory that stays.
const idleGC = 50

// Child has a part of a fleet, and ends the program, where that was started to do so. Otherwise it returns at once.
func Child() {
	if os.Getenv(childEnv) == "" {
		return
	}
	// What a terminal or a service manager sends goes to the whole group: the run says when the fleet ends.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	p := &process{mouth: mouth{out: json.NewEncoder(os.Stdout)}}
	if err := p.serve(context.Background(), os.Stdin); err != nil {
		_ = p.say(word{Error: err.Error()}) // a run that is gone has killed this process
		os.Exit(1)
	}
	os.Exit(0)
}

// process is the fleet's side of the conversation.
type process struct {
	mouth
	herd  *own
	began float64 // processor seconds when the units were made
	late  alarm
	off   context.CancelFunc // nil before the units are powered on
	ended chan error
}

// serve does what it is asked until it is asked nothing more.
func (p *process) serve(ctx context.Context, in io.Reader) (err error) {
	e, o := newEar(in), order{}
	if err := e.hear(&o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	if err := p.make(ctx, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.herd.close()) }()
	defer p.powerOff()
	for a := (answer{}); ; {
		if err := p.say(word{Answer: &a}); err != nil {
			return err
		}
		var q question
		if err := e.hear(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		a = p.answer(ctx, q)
	}
}

func (p *process) make(ctx context.Context, o order) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(denseGC)
	}
	s, err := scenario.Parse([]byte(o.Scenario), "order", ".")
	if err != nil {
		return err
	}
	roles, err := newCast(s)
	if err != nil {
		return err
	}
	c, err := fleetConfig(s, roles, o.Place)
	if err != nil {
		return err
	}
	w := &wall{begins: s.Begins.Time}
	c.Part, c.Wall = o.Part, w.now
	c.Observe = func(e fleet.Event) { _ = p.say(word{Unit: e.Number, Event: &e}) }
	f, err := fleet.New(ctx, c, scenario.Agent, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	p.herd, p.began = &own{fleet: f, s: s, wall: w, images: o.Place.Images}, ownCPU()
	return nil
}

func (p *process) answer(ctx context.Context, q question) (a answer) {
	var err error
	switch {
	case q.Live:
		p.powerOn(ctx)
	case q.Up != nil:
		err = p.herd.up(*q.Up)
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(idleGC)
		}
		rest()
	case q.Counts:
		c := p.herd.counts()
		c.CPU, c.Mem, c.Late = ownCPU()-p.began, resident(os.Getpid()), p.late.told()
		a.Counts = &c
	case q.Event != nil:
		err = p.herd.touch(q.Units, *q.Event)
	case q.Off:
		if bricks := p.powerOff(); bricks != nil {
			a.Bricks = bricks.Error()
		}
	case q.Look:
		var f findings
		f, err = p.herd.look()
		a.Findings = &f
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// restAfter is when the connections of HTTPS by which a fleet came up have closed.
const restAfter = 15 * time.Second

// rest gives memory back that coming up took, and is not what a fleet takes.
func rest() {
	debug.FreeOSMemory()
	time.AfterFunc(restAfter, debug.FreeOSMemory)
}

func (p *process) powerOn(ctx context.Context) {
	ctx, p.off = context.WithCancel(ctx)
	p.ended = make(chan error, 1)
	go p.late.watch(ctx)
	go func() { p.ended <- p.herd.live(ctx) }()
}

// powerOff returns what is wrong with units that did not start.
func (p *process) powerOff() error {
	if p.off == nil {
		return nil
	}
	p.off()
	p.off = nil
	return <-p.ended
}
