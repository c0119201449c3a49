package conduct

import (
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/report"
)

// tracker knows what every unit has done so far. It is told by the fleet.
type tracker struct {
	cast     *cast
	mu       sync.Mutex
	directed map[string]time.Time // when a release was first directed
	units    []tracked
	changed  time.Time // when a unit last took a step
	bricked  string    // why the last one was
	lament   string    // of the last agent that ended by itself
}

// tracked is one unit.
type tracked struct {
	state   string // of its update; off, hung, bricked
	moving  bool
	hung    bool
	starts  int
	cuts    int
	results map[string]*report.Result // by version
}

// Words for units that are in no state of an update.
const (
	stateOff     = "off"
	stateHung    = "hung"
	stateBricked = "bricked"
)

func newTracker(c *cast) *tracker {
	t := &tracker{cast: c, directed: map[string]time.Time{}, units: make([]tracked, len(c.roles))}
	for i := range t.units {
		t.units[i] = tracked{state: stateOff, results: map[string]*report.Result{}}
	}
	return t
}

// observe takes an event of the fleet.
func (t *tracker) observe(e fleet.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := &t.units[e.Number-1]
	t.changed = e.Time
	switch e.Kind {
	case fleet.PoweredOn:
		u.starts++
		if u.hung = false; !u.moving {
			u.state = string(wire.Idle)
		}
	case fleet.PoweredOff:
		u.cuts++
	case fleet.AgentEnded:
		t.lament = e.Unit + ": " + e.Detail
	case fleet.Hung:
		u.hung, u.state = true, stateHung
	case fleet.Bricked:
		u.state, u.moving, t.bricked = stateBricked, false, e.Detail
	case fleet.Updated:
		t.update(u, e)
	case fleet.Answered:
		if e.Detail != string(wire.Yes) {
			t.result(u, e).PutOff++
		}
	case fleet.Interrupted:
		t.result(u, e).Interrupted++
	}
}

// result is what is known of the update that an event is about.
func (t *tracker) result(u *tracked, e fleet.Event) *report.Result {
	r := u.results[e.To]
	if r == nil {
		r = &report.Result{Unit: e.Unit, Kind: t.cast.roles[e.Number-1].kind, From: e.From, To: e.To, State: string(wire.Idle)}
		u.results[e.To] = r
	}
	return r
}

func (t *tracker) update(u *tracked, e fleet.Event) {
	u.state, u.moving = string(e.State), !e.State.Final() && e.State != wire.Idle
	r := t.result(u, e)
	r.From = e.From
	r.State, r.Reason, r.Detail, r.Fetched, r.Written = string(e.State), e.Reason, e.Detail, e.Fetched, e.Written
	r.Starts, r.Cuts = u.starts, u.cuts
	if since := t.directed[e.To]; !since.IsZero() {
		r.Seconds = e.Time.Sub(since).Seconds()
	}
}

// direct notes when a release is directed.
func (t *tracker) direct(version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.directed[version].IsZero() {
		t.directed[version] = time.Now()
	}
}

// troubles are why a unit does not start, and why an agent ended by itself, if that happened.
func (t *tracker) troubles() (brick, lament string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bricked, t.lament
}

// states counts the units by state.
func (t *tracker) states() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]int{}
	for _, u := range t.units {
		all[u.state]++
	}
	return all
}

// quiet reports whether no update has been under way for so long.
func (t *tracker) quiet(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.units {
		if u.moving && !u.hung {
			return false
		}
	}
	return time.Since(t.changed) >= d
}

// ended counts units for which ok says yes of the result of a version; "" for any version.
func (t *tracker) ended(units []int, version string, ok func(report.Result) bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, number := range units {
		for to, r := range t.units[number-1].results {
			if (version == "" || to == version) && ok(*r) {
				n++
				break
			}
		}
	}
	return n
}

// results are all of them, by unit.
func (t *tracker) results(order []string) (all []report.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.units {
		for _, version := range order {
			if r := t.units[i].results[version]; r != nil {
				all = append(all, *r)
			}
		}
	}
	return all
}
