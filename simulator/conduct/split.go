package conduct

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/simulator/fleet"
)

// errLost: a process of the fleet has ended, and its units with it.
var errLost = errors.New("a part of the fleet is lost")

// MaxProcesses bounds Options.Processes.
const MaxProcesses = 64

// split is a herd in several processes.
type split struct {
	parts []*child
	last  counters // as they were told
}

// newSplit starts the processes and has them make their units.
func newSplit(ctx context.Context, o order, processes int, observe func(fleet.Event)) (*split, error) {
	s := &split{}
	if err := os.MkdirAll(o.Place.Dir, 0o700); err != nil {
		return nil, err
	}
	var g errgroup.Group
	for i := range processes {
		o.Part = fleet.Part{At: i, Of: processes}
		c, err := startChild(o, observe)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.parts = append(s.parts, c)
		g.Go(func() error { _, err := c.answer(ctx); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// all asks every process at once. An answer is never thrown away: who has asked waits for it.
func (s *split) all(q func(c *child) question, take func(*child, answer)) error {
	answers, errs := make([]answer, len(s.parts)), make([]error, len(s.parts))
	var done sync.WaitGroup
	for i, c := range s.parts {
		done.Go(func() { answers[i], errs[i] = c.ask(context.Background(), q(c)) })
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, c := range s.parts {
		take(c, answers[i])
	}
	return nil
}

func same(q question) func(*child) question { return func(*child) question { return q } }

func nothing(*child, answer) {}

func (s *split) live(ctx context.Context) error {
	if err := s.all(same(question{Live: true}), nothing); err != nil {
		return err
	}
	lost := make(chan error, len(s.parts))
	for _, c := range s.parts {
		go func() {
			select {
			case <-c.gone:
				lost <- c.err
			case <-ctx.Done():
			}
		}()
	}
	select {
	case err := <-lost:
		return err
	case <-ctx.Done():
	}
	var bricks []error
	err := s.all(same(question{Off: true}), func(_ *child, a answer) {
		if a.Bricks != "" {
			bricks = append(bricks, errors.New(a.Bricks))
		}
	})
	return errors.Join(append(bricks, err)...)
}

// counts keeps what was counted of a process that is gone: it is told elsewhere that it is.
func (s *split) counts() counters {
	var sum counters
	err := s.all(same(question{Counts: true}), func(_ *child, a answer) {
		if a.Counts != nil {
			sum.add(*a.Counts)
		}
	})
	if err == nil {
		s.last = sum
	}
	return s.last
}

func (c *counters) add(o counters) {
	c.Received, c.Sent, c.Connections, c.Open = c.Received+o.Received, c.Sent+o.Sent, c.Connections+o.Connections, c.Open+o.Open
	c.CPU, c.Mem, c.Late = c.CPU+o.CPU, c.Mem+o.Mem, max(c.Late, o.Late)
}

func (s *split) up(at time.Time) error { return s.all(same(question{Up: &at}), nothing) }

func (s *split) touch(units []int, e event) error {
	e.When = nil
	return s.all(func(c *child) question {
		own := slices.DeleteFunc(slices.Clone(units), func(n int) bool { return !c.part.Has(n) })
		return question{Event: &e, Units: own}
	}, nothing)
}

func (s *split) look() (findings, error) {
	f := findings{Version: map[int]string{}, Received: map[int]int64{}}
	err := s.all(same(question{Look: true}), func(_ *child, a answer) {
		if a.Findings != nil {
			maps.Copy(f.Version, a.Findings.Version)
			maps.Copy(f.Received, a.Findings.Received)
			f.Bricks = append(f.Bricks, a.Findings.Bricks...)
		}
	})
	return f, err
}

// close has the processes come to their end.
func (s *split) close() error {
	for _, c := range s.parts {
		_ = c.in.Close() // one that is gone has closed it
	}
	for _, c := range s.parts {
		late := time.AfterFunc(answerWait, func() { _ = c.cmd.Process.Kill() })
		c.await()
		late.Stop()
	}
	return nil
}
