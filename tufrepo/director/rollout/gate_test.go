package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// end brings n devices that are directed to an end.
func (d *desk) end(n int, s wire.State) {
	d.t.Helper()
	list := d.in(Directed, Updating)
	if len(list) < n {
		d.t.Fatalf("only %d of %d are directed", len(list), n)
	}
	for _, device := range list[:n] {
		d.report(device, s)
	}
}

func TestBrake(t *testing.T) {
	const all = `"phases": [{"name": "all", "percent": 100, "success": 1}]}`
	for _, c := range []struct {
		name, plan string
		devices    int
		good, bad  int // devices that have ended without stopping it
		last       wire.State
		why        string
	}{
		{"more than a share", `{"schema": 1, "pause": {"percent": 10, "sample": 10}, ` + all, 100, 18, 2, wire.RolledBack, "3 of 21 devices"},
		{"a rejection counts", `{"schema": 1, "pause": {"percent": 10, "sample": 10}, ` + all, 100, 18, 2, wire.Rejected, "3 of 21 devices"},
		{"not before the least sample", `{"schema": 1, "pause": {"percent": 10, "sample": 10}, ` + all, 100, 0, 9, wire.Failed, "10 of 10 devices"},
		{"the sample is not more than there is", `{"schema": 1, "pause": {"percent": 10, "sample": 50}, ` + all, 5, 3, 1, wire.Committed, "1 of 5 devices"},
		{"zero percent stops at the first", `{"schema": 1, "pause": {"percent": 0}, ` + all, 100, 40, 0, wire.Failed, "1 of 41 devices"},
		{"by default 5 percent of 20", `{"schema": 1, ` + all, 100, 18, 1, wire.Failed, "2 of 20 devices"},
		{"the canary stops at the first", `{"schema": 1, "pause": {"percent": 100}, "phases": [{"name": "c", "canary": true, "count": 10}, {"name": "all", "percent": 100}]}`,
			100, 3, 0, wire.Failed, "phase c: 1 of 4 devices"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, plan(t, c.plan), devices(c.devices))
			d.step(0)
			d.end(c.good, wire.Committed)
			d.end(c.bad, wire.Failed)
			d.step(0)
			d.wantRun(Running)
			d.end(1, c.last)
			d.wantRun(Paused) // at once, before any step
			if !strings.Contains(d.head.Reason, c.why) {
				t.Errorf("%s, want %s", d.head.Reason, c.why)
			}
			if got := d.step(0); got[0].Run != Paused || count(got, OpDirect) != 0 {
				t.Error(got)
			}
		})
	}
}

func TestSilentDevicesPullTheBrake(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 40, "silent_after": "2h", "pause": {"percent": 10, "sample": 10}, "phases": [{"name": "all", "percent": 100}]}`), devices(100))
	d.step(0)
	heard := d.in(Directed)[:30]
	for _, device := range heard {
		d.report(device, wire.Downloading)
	}
	d.step(2*time.Hour - time.Second)
	d.want(Silent, 0)
	for _, device := range heard[:20] {
		d.report(device, wire.Installing)
	}
	got := d.step(time.Second)
	// Ten were never heard of, ten have come no further; the others' clocks began anew.
	d.want(Silent, 20)
	d.wantRun(Paused)
	if count(got, OpWithdraw) != 20 || count(got, OpDirect) != 0 {
		t.Fatal(got)
	}
	// One of them comes back by itself, in the trial, and commits.
	device := heard[25]
	update := UpdateName("ro-1", device, 1)
	d.apply(Report{Device: device, Update: update, State: wire.Trying})
	d.wantState(device, Updating)
	d.apply(Report{Device: device, Update: update, State: wire.Committed})
	d.want(Committed, 1)
}

func TestResumeForgives(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "pause": {"percent": 10, "sample": 5}, "phases": [{"name": "all", "percent": 100, "success": 1}]}`), devices(40))
	d.step(0)
	d.end(5, wire.Failed)
	d.wantRun(Paused)
	d.apply(Resume{})
	d.step(0)
	d.end(4, wire.Failed)
	d.wantRun(Running)
	d.end(1, wire.Failed)
	d.wantRun(Paused)
	// What is tried again can fail again, and counts again.
	d.apply(Resume{})
	d.apply(Retry{})
	d.step(0)
	d.end(4, wire.Failed)
	d.wantRun(Running)
	d.end(1, wire.Failed)
	d.wantRun(Paused)
}

func TestFailuresDuringAPauseAreNotForgotten(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "pause": {"percent": 10, "sample": 5}, "phases": [{"name": "all", "percent": 100}]}`), devices(10))
	d.step(0)
	d.all(wire.Downloading)
	d.apply(Pause{"lunch"})
	d.step(0)
	d.end(6, wire.Failed)
	if got := d.step(0); count(got, OpRun) != 1 || !strings.Contains(got[0].Reason, "of 5 devices") {
		t.Fatal(got)
	}
}

func TestAPhaseThatCannotSucceed(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "pause": {"percent": 100}, "phases": [{"name": "some", "count": 10, "success": 80}, {"name": "all", "percent": 100}]}`), devices(20))
	d.step(0)
	d.end(2, wire.Failed)
	d.step(0)
	d.wantRun(Running)
	d.end(1, wire.Failed)
	if got := d.step(0); count(got, OpRun) != 1 || !strings.Contains(d.head.Reason, "needs 8 of 10") {
		t.Fatal(got)
	}
	d.apply(Resume{})
	if d.step(0); d.head.Run != Paused {
		t.Fatal("it went on without reason")
	}
	d.apply(Advance{"some"})
	d.apply(Resume{})
	if got := d.step(0); count(got, OpPhase) != 1 {
		t.Fatal(got)
	}
}

func TestAnEmptyCanaryProvesNothing(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [{"name": "lab", "canary": true, "groups": ["lab"]}, {"name": "all", "percent": 100}]}`), devices(5))
	if got := d.step(0); count(got, OpDirect) != 0 || d.head.Run != Paused {
		t.Fatal(got)
	}
	d.apply(Advance{"lab"})
	d.apply(Resume{})
	if got := d.step(0); count(got, OpDirect) != 5 {
		t.Fatal(got)
	}
}

func TestSilentDevicesThatAreSeenTryAgain(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "silent_after": "1h", "pause": {"percent": 30, "sample": 4}, "open_until": "2026-12-01T15:00:00Z",
	  "phases": [{"name": "all", "percent": 100, "success": 50}]}`), devices(4))
	d.step(0)
	d.end(2, wire.Committed)
	device := d.in(Directed)[0]
	d.report(d.in(Directed)[1], wire.Committed)
	for n := 1; n < maxStrikes; n++ {
		d.step(time.Hour)
		d.wantState(device, Silent)
		d.apply(Seen{device})
		d.step(time.Minute)
		d.wantState(device, Directed)
	}
	d.step(time.Hour)
	d.apply(Seen{device})
	d.wantState(device, Silent)
	d.wantRun(Finished)

	// Whoever is seen and never says a word counts nevertheless.
	d = newDesk(t, plan(t, `{"schema": 1, "silent_after": "1h", "in_flight": 2, "pause": {"percent": 30, "sample": 4},
	  "phases": [{"name": "all", "percent": 100, "success": 1}]}`), devices(10))
	d.step(0)
	d.step(time.Hour)
	for _, device := range d.in(Silent) {
		d.apply(Seen{device})
	}
	d.wantRun(Running)
	d.step(time.Hour)
	d.wantRun(Paused)
	d.want(Silent, 2)
}

func TestRollBackByItself(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 10, "roll_back": true, "pause": {"percent": 20, "sample": 5}, "phases": [{"name": "all", "percent": 100}]}`), devices(40))
	d.step(0)
	d.end(8, wire.Committed)
	d.step(0)
	flying := d.in(Directed)
	d.report(flying[0], wire.Rebooting)
	d.report(flying[1], wire.Downloading)
	d.report(flying[2], wire.Failed)
	d.report(flying[3], wire.Failed)
	d.wantRun(Running)
	d.report(flying[4], wire.Failed)
	d.wantRun(RollingBack)
	got := d.step(0)
	// Three have failed, six can still turn back, one reboots; of the eight that committed all go back.
	if got[0].Run != RollingBack || count(got, OpWithdraw) != 9 || count(got, OpRollBack) != 8 || count(got, OpDirect) != 0 {
		t.Fatal(got)
	}
	d.report(flying[0], wire.Committed)
	if got := d.step(0); count(got, OpRollBack) != 1 || got[0].Kind != Forced {
		t.Fatal(got)
	}
	d.report(flying[0], wire.Downloading, wire.Rebooting)
	d.wantState(flying[0], Reverting)
	// A late word of the update itself is no word of the way back.
	d.apply(Report{Device: flying[0], Update: UpdateName("ro-1", flying[0], 1), State: wire.Committed})
	d.wantState(flying[0], Reverting)
	reverting := d.in(Reverting)
	for _, device := range reverting {
		if device != flying[0] {
			d.report(device, wire.Committed)
		}
	}
	if d.step(0); d.head.Run != RollingBack {
		t.Fatal(d.head)
	}
	d.report(flying[0], wire.Failed)
	if got := d.step(0); got[len(got)-1].Run != RolledBack {
		t.Fatal(got)
	}
	d.want(Reverted, 8)
}

func TestRollBackOfAFinishedRollout(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 4, "phases": [{"name": "all", "percent": 100}]}`), devices(6))
	for range 2 {
		d.step(0)
		d.all(wire.Committed)
	}
	d.step(0)
	d.wantRun(Finished)
	d.apply(RollBack{"the speaker hums"})
	if got := d.step(time.Hour); count(got, OpRollBack) != 4 || got[0].Reason != "the speaker hums" {
		t.Fatal(got)
	}
	d.report(d.in(Reverting)[0], wire.Downloading)
	d.apply(Pause{})
	if got := d.step(0); count(got, OpWithdraw) != 3 {
		t.Fatal(got)
	}
	d.want(Committed, 5)
	d.apply(Resume{})
	d.step(0)
	d.wantRun(RollingBack)
	// Facts tell as well as reports, and one has moved on meanwhile.
	back := Device{ID: d.in(Reverting)[0], Product: "base", Hardware: "unit-1", Version: oldRelease.Version, Counter: oldRelease.Counter}
	d.apply(Facts{back})
	d.wantState(back.ID, Reverted)
	back.ID, back.Version, back.Counter = d.in(Committed)[0], "3.0", 30
	d.apply(Facts{back})
	d.wantState(back.ID, Already)
	d.step(0)
	d.all(wire.Committed)
	d.step(0)
	d.wantRun(RolledBack)
}

// A device that commits by itself while it is asked has not had that attempt's direction:
// the way back is an attempt of its own.
func TestRollBackOfWhoWasOnlyAsked(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(1))
	d.step(0)
	d.report(deviceID(0), wire.Committed)
	d.apply(RollBack{})
	if got := d.step(0); count(got, OpRollBack) != 1 || d.told[deviceID(0)].Update != UpdateName("ro-1", deviceID(0), 2) {
		t.Fatal(got)
	}
}

func TestRollBackNeedsLeave(t *testing.T) {
	s := setup(plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`))
	s.Fallback = nil
	r, err := New(s, devices(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(begin, RollBack{}); err == nil || !strings.Contains(err.Error(), "tenant does not allow") {
		t.Fatal(err)
	}
}
