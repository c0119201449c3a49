package fleet

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
)

// people are those in a unit's room. They use it in its hours, and what it asks them they answer as on a screen of the product: yes, unless
// somebody uses it, or soon will. Then they leave the question standing, or, if it takes longer than patience, say later.
type people struct {
	unit  *unit
	hours Hours
	seed  uint64
	asked chan struct{}
	stood string // the update whose question was left standing last
}

// notice is how long a unit must stay free, beside two looks of its agent, for people to say yes.
const notice = 30 * time.Second

// patience is the time within which nobody answers later: that is how long a director leaves alone at least whoever has put it off.
const patience = 5 * time.Minute

// newPeople is nil where nobody uses the unit.
func newPeople(u *unit, h Hours) *people {
	if h.Used <= 0 {
		return nil
	}
	p := &people{unit: u, hours: h, seed: u.fleet.cfg.Seed ^ uint64(u.number)<<24, asked: make(chan struct{}, 1)}
	u.opt.Notify.Status = p.read
	return p
}

// read is told what the agent says of itself.
func (p *people) read(line string) {
	if !strings.Contains(line, wire.WaitPeople) {
		return
	}
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

// attend has the people there until they leave.
func (p *people) attend(ctx context.Context, b *booted) (leave func()) {
	if p == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var gone sync.WaitGroup
	gone.Go(func() { p.watch(ctx, b) })
	return func() { cancel(); gone.Wait() }
}

func (p *people) watch(ctx context.Context, b *booted) {
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.asked:
		case <-again.C:
		}
		d, err := p.answer(b)
		if err != nil {
			p.unit.log.Debug("people cannot answer", "error", err)
		}
		if d > 0 {
			again.Reset(d)
		}
	}
}

// answer answers what is asked, if anything is. It says when to look again; 0 is not before something new is asked.
func (p *people) answer(b *booted) (again time.Duration, err error) {
	u := p.unit
	file, err := boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{Disk: b.disk})
	if err != nil {
		return 0, err
	}
	a, err := agent.New(u.cfg, agent.Options{Boot: file, Disk: b.disk, Clock: u.opt.Clock, BuildTime: u.opt.BuildTime, Version: u.opt.Version})
	if err != nil {
		return 0, err
	}
	s, err := a.Status()
	if q := s.Question; err != nil || q == nil || q.Say == wire.Yes {
		return 0, err
	}
	now := u.fleet.wall()
	left := p.hours.Free(p.seed, now, notice+2*max(u.fleet.cfg.Look, time.Second)).Sub(now)
	switch {
	case left <= 0:
		return 0, p.say(a, s.Question, wire.Yes, 0)
	case s.Question.Pending && left > patience:
		return left, p.say(a, s.Question, wire.Later, left+time.Second) // it is kept in whole seconds
	case s.Question.Pending && p.stood != s.Question.Update:
		p.stood = s.Question.Update
		u.say(Event{Kind: Answered, To: s.Question.To})
	}
	return left, nil
}

func (p *people) say(a *agent.Agent, q *agent.Question, what wire.Say, later time.Duration) error {
	if _, err := a.Answer(what, later); err != nil {
		return err
	}
	p.unit.say(Event{Kind: Answered, To: q.To, Detail: string(what)})
	return nil
}

// disturbed notes that the unit goes down by itself, if somebody uses it at this moment.
func (p *people) disturbed() {
	if p == nil || !p.hours.InUse(p.seed, p.unit.fleet.wall()) {
		return
	}
	p.unit.mu.Lock()
	to := p.unit.target
	p.unit.mu.Unlock()
	p.unit.say(Event{Kind: Interrupted, To: to})
}

// wall is the clock on the walls of the rooms.
func (f *Fleet) wall() time.Time {
	if f.cfg.Wall != nil {
		return f.cfg.Wall()
	}
	return time.Now()
}
