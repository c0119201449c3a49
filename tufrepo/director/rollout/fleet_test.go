package rollout

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/fairlead/fairlead/agent/wire"
)

// begin is when test rollouts are made: a Tuesday, 12:00 UTC.
var begin = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

var (
	newRelease = Release{Product: "base", Version: "2.0", Counter: 20, Hardware: []string{"unit-1", "unit-2"}}
	oldRelease = Release{Product: "base", Version: "1.9+again", Counter: 21, Hardware: []string{"unit-1", "unit-2"}}
)

func deviceID(n int) string { return fmt.Sprintf("device-%07d", n) }

// devices are n that can take newRelease.
func devices(n int) []Device {
	list := make([]Device, n)
	for i := range list {
		list[i] = Device{ID: deviceID(i), Product: "base", Hardware: "unit-1", Version: "1.0", Counter: 10}
	}
	return list
}

// plan reads a plan and fails the test if it is not one.
func plan(t testing.TB, text string) Spec {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func setup(s Spec) Setup {
	return Setup{ID: "ro-1", Spec: s, Release: newRelease, Fallback: &oldRelease, Zone: time.LoadLocation}
}

// desk is a rollout, its devices' sides of it, and a clock.
type desk struct {
	t testing.TB
	*Rollout
	now  time.Time
	next time.Time
	// told is what each device was told last: its direction or question.
	told map[string]Action
	log  []Action // of the last step
}

func newDesk(t testing.TB, s Spec, list []Device) *desk {
	t.Helper()
	r, err := New(setup(s), list)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, Rollout: r, now: begin, told: map[string]Action{}}
}

// step lets time pass, then steps until the engine is content.
func (d *desk) step(after time.Duration) []Action {
	d.t.Helper()
	d.now = d.now.Add(after)
	d.log = nil
	for range 1000 {
		actions, next := d.Step(d.now)
		d.log = append(d.log, actions...)
		for _, a := range actions {
			d.take(a)
		}
		if d.next = next; !next.Equal(d.now) {
			return d.log
		}
	}
	d.t.Fatal("the engine is never content")
	return nil
}

func (d *desk) take(a Action) {
	switch a.Op {
	case OpWithdraw:
		delete(d.told, a.Device)
	case OpAsk, OpDirect, OpRollBack:
		d.told[a.Device] = a
	}
}

func (d *desk) apply(e Event) {
	d.t.Helper()
	if err := d.Apply(d.now, e); err != nil {
		d.t.Fatal(err)
	}
}

// report says something about the update that the device was told of last.
func (d *desk) report(device string, states ...wire.State) {
	d.t.Helper()
	a, ok := d.told[device]
	if !ok {
		d.t.Fatalf("%s was told nothing", device)
	}
	for _, s := range states {
		d.apply(Report{Device: device, Update: a.Update, State: s})
	}
}

// all reports the same of every device that is directed.
func (d *desk) all(states ...wire.State) {
	d.t.Helper()
	for _, device := range d.in(Directed, Updating, Reverting) {
		d.report(device, states...)
	}
}

// in lists the devices in these states.
func (d *desk) in(states ...State) (list []string) {
	for i := range d.recs {
		for _, s := range states {
			if d.recs[i].state == s {
				list = append(list, d.recs[i].id)
			}
		}
	}
	return list
}

func (d *desk) want(s State, n int) {
	d.t.Helper()
	if got := len(d.in(s)); got != n {
		d.t.Fatalf("%d devices are %v, want %d: %v", got, s, n, d.Status())
	}
}

func (d *desk) wantRun(run Run) {
	d.t.Helper()
	if d.head.Run != run {
		d.t.Fatalf("the rollout is %s (%s), want %s", d.head.Run, d.head.Reason, run)
	}
}

func (d *desk) wantState(device string, s State) {
	d.t.Helper()
	row, _ := d.Row(device)
	if row.State != s {
		d.t.Fatalf("%s is %v (%s), want %v", device, row.State, row.Reason, s)
	}
}

func count(actions []Action, op Op) (n int) {
	for _, a := range actions {
		if a.Op == op {
			n++
		}
	}
	return n
}
