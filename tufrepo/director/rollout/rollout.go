package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Release is what a rollout brings to its devices, or takes them back to.
type Release struct {
	Product, Version string
	Counter          int64 // release counter
	Hardware         []string
}

// Device is what the caller knows of a device.
type Device struct {
	ID                string
	Product, Hardware string
	Version           string // that runs
	Counter           int64  // highest release counter that it has committed
	Group             string // path in the tenant's tree: "site/building/room"
	Zone              string // IANA time zone; empty: that of the plan
	// Unfit says why the device cannot take part for reasons that are not Product and
	// Hardware: it was revoked, its agent is too old. Empty if it can.
	Unfit string
	Busy  bool // another rollout has it. Only New and a first Facts look at it.
}

// Setup is what stays the same as long as a rollout lives. The caller keeps it with the
// rollout and gives it to New and to every Restore.
type Setup struct {
	ID      string // of the rollout; not empty, and never used for another one
	Spec    Spec
	Release Release
	// Fallback is the release that a roll-back brings: an earlier image, published again
	// with a counter that is not below Release's, because devices refuse one. Nil where the
	// tenant does not allow rolling back.
	Fallback *Release
	// Zone finds a time zone: time.LoadLocation.
	Zone func(name string) (*time.Location, error)
}

// Run is where a rollout stands.
type Run string

const (
	Scheduled   Run = "scheduled" // its start has not come
	Running     Run = "running"
	Paused      Run = "paused"
	RollingBack Run = "rolling_back"
	Finished    Run = "finished"    // every device has come to an end
	Aborted     Run = "aborted"     // by people
	RolledBack  Run = "rolled_back" // every device that it had updated was directed back
)

// over says that nothing is begun any more.
func (r Run) over() bool { return r == Finished || r == Aborted || r == RolledBack }

// Rollout is one rollout. It is not safe for concurrent use.
type Rollout struct {
	setup Setup
	spec  Spec // with its defaults
	head  Head

	recs    []record
	index   map[string]int32
	tallies []tally // phase -1 first

	questions heap
	zones     []zone
	zoneIndex map[string]uint16
	timers    heap
	held      []int32 // that State.Holds, in no order
	owed      []int32 // flag owed, set since the last Step
	pace      pace

	touched []int32 // changed since Changes
	written Head    // as Changes returned it last
	calm    bool    // held has nobody who must be let go because of Run
}

// zone is the devices of one time zone.
type zone struct {
	name     string
	calendar *calendar
	heap     heap
}

// New plans a rollout for devices, which it sorts into phases. Every device counts as
// changed. The error says what is wrong with the setup.
func New(s Setup, devices []Device) (*Rollout, error) {
	r, err := open(s)
	if err != nil {
		return nil, err
	}
	r.head = Head{Run: Scheduled, Phase: -1, Phases: make([]PhaseHead, len(r.spec.Phases))}
	r.recs, r.index = make([]record, 0, len(devices)), make(map[string]int32, len(devices))
	groups := make([]string, len(devices))
	for i, d := range devices {
		if _, twice := r.index[d.ID]; twice || d.ID == "" {
			return nil, fmt.Errorf("rollout %s: device %q is missing its name or stands there twice", s.ID, d.ID)
		}
		r.enter(d)
		groups[i] = d.Group
	}
	r.assign(groups)
	r.derive()
	return r, nil
}

// open makes a rollout without devices.
func open(s Setup) (*Rollout, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("rollout %s: %w", s.ID, err)
	}
	r := &Rollout{setup: s, spec: s.Spec.filled(), index: map[string]int32{}, zoneIndex: map[string]uint16{}}
	r.tallies = make([]tally, len(r.spec.Phases)+1)
	r.questions = heap{recs: &r.recs, slot: slotQueue}
	r.timers = heap{recs: &r.recs, slot: slotTimer}
	if _, err := r.zoneOf(""); err != nil {
		return nil, fmt.Errorf("rollout %s: the plan's zone: %w", s.ID, err)
	}
	return r, nil
}

func (s Setup) check() error {
	if s.ID == "" {
		return errors.New("it needs a name")
	}
	if err := Check(s.Spec); err != nil {
		return err
	}
	if len(s.Spec.Windows) > 0 && s.Zone == nil {
		return errors.New("windows need a time zone database")
	}
	f := s.Fallback
	switch {
	case f == nil && s.Spec.RollBack:
		return errors.New("the plan rolls back by itself: name the release to go back to; the tenant must allow it")
	case f == nil:
		return nil
	case f.Product != s.Release.Product || f.Version == s.Release.Version:
		return fmt.Errorf("the release to go back to must be another version of %s", s.Release.Product)
	case f.Counter < s.Release.Counter:
		return fmt.Errorf("the release to go back to has counter %d, below %d: devices refuse it; publish its image again with a higher counter",
			f.Counter, s.Release.Counter)
	}
	for _, h := range s.Release.Hardware {
		if !slices.Contains(f.Hardware, h) {
			return fmt.Errorf("the release to go back to does not fit %s, which the rollout's release does", h)
		}
	}
	return nil
}

// zoneOf finds a zone, the plan's for an empty name. Without windows all devices are in
// one zone.
func (r *Rollout) zoneOf(name string) (uint16, error) {
	if name == "" || len(r.spec.Windows) == 0 {
		name = r.spec.Zone
	}
	if i, ok := r.zoneIndex[name]; ok {
		return i, nil
	}
	at := time.UTC
	if len(r.spec.Windows) > 0 {
		var err error
		if at, err = r.setup.Zone(name); err != nil {
			return 0, err
		}
	}
	if len(r.zones) > math.MaxUint16 {
		return 0, errors.New("too many time zones")
	}
	r.zones = append(r.zones, zone{name: name, calendar: newCalendar(r.spec.Windows, at), heap: heap{recs: &r.recs, slot: slotQueue}})
	i := uint16(len(r.zones) - 1)
	r.zoneIndex[name] = i
	return i, nil
}

// derive makes everything that is made of the records: counts, queues, timers.
func (r *Rollout) derive() {
	r.questions.items, r.timers.items, r.held, r.owed = nil, nil, nil, nil
	for z := range r.zones {
		r.zones[z].heap.items = nil
	}
	clear(r.tallies)
	for i := range r.recs {
		d := &r.recs[i]
		d.places = [slots]int32{}
		r.tally(d).add(d, 1)
		r.place(int32(i), nowhere, 0)
		if d.is(owed) {
			r.owed = append(r.owed, int32(i))
		}
	}
	r.calm = false
}
