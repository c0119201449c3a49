package crash

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fairlead/fairlead/agent"
)

// Explorer starts a device on everything that a disk may hold after a cut, and again on what a cut of that recovery leaves.
// It stops at the first state that is wrong.
type Explorer struct {
	*Device
	Bounds  []Bounds // of the first cut, of the one in its recovery, and so on
	Workers int
	Most    int // distinct media after which it stops; 0 for no bound
	Arrive  int // of the media that were recovered on, one in so many is followed to the newest release; 0 means all

	// Seen is everything that was ever met, by all explorers that share it.
	Seen *Seen

	mu      sync.Mutex
	found   error
	settled map[Sum]bool // media at rest from which the device came to the target
	started int          // distinct media when it began
}

// Seen remembers media.
type Seen struct {
	mu     sync.Mutex
	media  map[Sum]bool
	checks map[Sum]int // how many promises a medium was held against
	States atomic.Int64
	Boots  atomic.Int64
}

// NewSeen remembers nothing yet.
func NewSeen() *Seen { return &Seen{media: map[Sum]bool{}, checks: map[Sum]int{}} }

// Distinct counts media.
func (s *Seen) Distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.media)
}

// add says whether a medium is a new one, and whether it is to be held against so many promises.
func (s *Seen) add(sum Sum, promises int) (fresh, check bool) {
	s.States.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh = !s.media[sum]
	s.media[sum] = true
	if check = fresh || s.checks[sum] != promises; check {
		s.checks[sum] = promises
	}
	return fresh, check
}

// Explore looks at all cuts of the log of a life.
func (x *Explorer) Explore(l *life) error {
	x.settled, x.started = map[Sum]bool{}, x.Seen.Distinct()
	states := make(chan *State)
	var workers sync.WaitGroup
	for range max(x.Workers, 1) {
		workers.Go(func() {
			for s := range states {
				x.visit(s, nil, 1)
			}
		})
	}
	l.disk.Enumerate(x.Bounds[0], func(s *State) bool {
		states <- s
		return !x.over()
	})
	close(states)
	workers.Wait()
	return x.found
}

func (x *Explorer) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.found != nil || x.Most > 0 && x.Seen.Distinct()-x.started >= x.Most
}

// wrong keeps the first state that is wrong.
func (x *Explorer) wrong(trail []*State, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.found != nil {
		return
	}
	var b strings.Builder
	for _, s := range trail {
		fmt.Fprintf(&b, "\n  %v", s)
	}
	x.found = fmt.Errorf("%w%s", err, b.String())
}

// visit looks at one medium, and lets the device recover on it.
func (x *Explorer) visit(s *State, before []*State, depth int) {
	if x.over() {
		return
	}
	trail := append(before[:len(before):len(before)], s)
	fresh, check := x.Seen.add(s.Sum(), len(s.Promises))
	if check {
		if err := x.check(s.Medium, s.Promises); err != nil {
			x.wrong(trail, err)
			return
		}
	}
	if !fresh {
		return
	}
	r := x.life(s.Medium, fmt.Sprintf("recovery %d, boot ", depth))
	err := r.settle()
	x.Seen.Boots.Add(int64(r.boots))
	if err == nil && (x.Arrive < 2 || int(s.Sum()[0])%x.Arrive == 0) {
		err = x.arrive(r)
	}
	if err != nil {
		x.wrong(trail, err)
		return
	}
	if depth < len(x.Bounds) && x.Bounds[depth].takes(s.Sum()) {
		r.disk.Enumerate(x.Bounds[depth], func(next *State) bool {
			if s.garbage && next.garbage && x.Kind == grubBoot {
				return true // GRUB cannot mend a block whose head is gone: of two that are destroyed, one after the other, none is left
			}
			next.Promises = append(s.Promises[:len(s.Promises):len(s.Promises)], next.Promises...)
			x.visit(next, trail, depth+1)
			return !x.over()
		})
	}
}

// arrive makes sure that a device at rest comes to what the repository offers, or back.
func (x *Explorer) arrive(r *life) error {
	rest := r.disk.Now()
	sum := rest.Sum()
	x.mu.Lock()
	known := x.settled[sum]
	x.mu.Unlock()
	if known {
		return nil
	}
	l := x.life(rest, "arrival, boot ")
	l.slot = r.slot
	if err := l.arrive(); err != nil {
		return fmt.Errorf("with a good repository: %w", err)
	}
	x.Seen.Boots.Add(int64(l.boots))
	x.mu.Lock()
	x.settled[sum] = true
	x.mu.Unlock()
	return nil
}

// arrive updates, with a reboot where one is asked for, and looks at the result.
func (l *life) arrive() error {
	target := l.Target
	for range 3 {
		err := l.update()
		switch {
		case l.broken != nil:
			return l.broken
		case errors.Is(err, agent.ErrNothing), err == nil:
			return l.arrived(target)
		case errors.Is(err, errBrick):
			return err
		case err != nil:
			if err := l.settle(); err != nil {
				return err
			}
		}
	}
	return l.arrived(target)
}

// arrived looks at a device that should run target, or, if that is bad, something else that works.
func (l *life) arrived(target *Image) error {
	f, err := l.Kind.open(l.durable(), l.slot)
	if err != nil {
		return err
	}
	b, err := f.State()
	if err != nil {
		return err
	}
	now := l.disk.Now()
	runs := l.image(now, slotIndex(b.Running))
	r, _ := readRecord(l.durable())
	switch {
	case b.Lost || b.Running != b.Committed || b.Trial != "":
		return fmt.Errorf("the device is not at rest: %+v", b)
	case runs == nil || runs.Bad:
		return fmt.Errorf("slot %s runs, and holds %+v", b.Running, runs)
	case !target.Bad && runs != target:
		return fmt.Errorf("%s runs, and %s is offered", runs.Version, target.Version)
	case r.Counter < runs.Counter || target.Bad && r.Counter >= target.Counter:
		return fmt.Errorf("%s with counter %d runs, and the floor is %d", runs.Version, runs.Counter, r.Counter)
	}
	return errors.Join(l.checkLeftovers(now), l.check(now, nil))
}

// checkLeftovers: nothing temporary is left in any folder that is in use.
func (l *life) checkLeftovers(m *Medium) error {
	for id, n := range m.nodes {
		for name := range n.entries {
			if strings.HasPrefix(name, ".tmp-") {
				return fmt.Errorf("%s was left behind in folder %d", name, id)
			}
		}
	}
	return nil
}
