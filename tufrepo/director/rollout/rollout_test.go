package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

func TestPhasesTakeTheirShare(t *testing.T) {
	s := plan(t, `{"schema": 1, "phases": [
	  {"name": "canary", "canary": true, "count": 4, "groups": ["lab"]}, {"name": "berlin", "groups": ["berlin/hq"]},
	  {"name": "ten", "percent": 10}, {"name": "three", "count": 3}, {"name": "half", "percent": 50}, {"name": "rest", "percent": 100}]}`)
	list := devices(1000)
	for i := range list {
		switch {
		case i < 20:
			list[i].Group = "lab/a"
		case i < 60:
			list[i].Group = "berlin/hq/room-1"
		case i < 70:
			list[i].Group = "berlin/hquarters" // another group
		}
	}
	d := newDesk(t, s, list)
	sizes := make([]int, len(s.Phases))
	for row := range d.Rows() {
		sizes[row.Phase]++
	}
	// Percent counts earlier phases in, and somebody in the first tenth may be in one.
	first := 0
	for i := range d.recs {
		if r := &d.recs[i]; r.phase == 0 && !strings.HasPrefix(list[i].Group, "lab") || r.phase == 1 && i >= 60 {
			t.Errorf("%s of group %s is in phase %d", r.id, list[i].Group, r.phase)
		}
		if d.recs[i].phase <= 2 {
			first++
		}
	}
	if sizes[0] != 4 || sizes[1] != 40 || sizes[2] > 100 || sizes[2] < 80 || sizes[3] != 3 || first != 44+sizes[2] {
		t.Errorf("sizes %v", sizes)
	}
	if total := sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]; total < 500 || total > 547 || sizes[5] != 1000-total {
		t.Errorf("sizes %v", sizes)
	}
}

func TestOrderIsStable(t *testing.T) {
	s := plan(t, `{"schema": 1, "in_flight": 10, "phases": [{"name": "all", "percent": 100}]}`)
	first := func(id string, list []Device) (names []string) {
		c := setup(s)
		c.ID = id
		r, err := New(c, list)
		if err != nil {
			t.Fatal(err)
		}
		actions, _ := r.Step(begin)
		for _, a := range actions {
			if a.Op == OpDirect {
				names = append(names, a.Device)
			}
		}
		return names
	}
	list := devices(500)
	turned := slices.Clone(list)
	slices.Reverse(turned)
	one, again, other := first("ro-1", list), first("ro-1", turned), first("ro-2", list)
	if len(one) != 10 || !slices.Equal(one, again) {
		t.Errorf("%v and then %v", one, again)
	}
	if slices.Equal(one, other) || slices.IsSorted(one) {
		t.Errorf("the same devices are first everywhere: %v, %v", one, other)
	}
}

func TestCanaryGoesFirstAndSoaks(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [
	  {"name": "canary", "canary": true, "count": 5, "soak": "24h"}, {"name": "ten", "percent": 10, "approval": true}, {"name": "all", "percent": 100}]}`), devices(100))
	if got := d.step(0); count(got, OpDirect) != 5 || count(got, OpPhase) != 1 || got[0].Run != Running {
		t.Fatal(got)
	}
	d.all(wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying)
	if got := d.step(time.Hour); len(got) != 0 {
		t.Fatalf("devices that only try the release let others go on: %v", got)
	}
	d.all(wire.Committed)
	if got := d.step(0); len(got) != 0 || !d.next.Equal(d.now.Add(24*time.Hour)) {
		t.Fatal(got, d.next)
	}
	if got := d.step(24*time.Hour - time.Second); len(got) != 0 {
		t.Fatal(got)
	}
	got := d.step(time.Second)
	if want := d.Status().Phases[1].Size; count(got, OpDirect) != want || got[0].Phase != "ten" || want < 5 {
		t.Fatal(got)
	}
	d.all(wire.Committed)
	if got := d.step(100 * time.Hour); len(got) != 0 || !d.Status().Phases[1].Approval {
		t.Fatal(got, d.Status())
	}
	for _, phase := range []string{"canary", "all", "none"} {
		if err := d.Apply(d.now, Approve{phase}); err == nil {
			t.Errorf("phase %s was approved", phase)
		}
	}
	d.apply(Approve{"ten"})
	d.step(0)
	d.all(wire.Committed)
	d.step(0)
	d.wantRun(Finished)
	d.want(Committed, 100)
}

func TestLimits(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 7, "per_minute": 10, "phases": [{"name": "all", "percent": 100}]}`), devices(30))
	if n := count(d.step(0), OpDirect); n != 7 {
		t.Fatal(n)
	}
	d.all(wire.Committed)
	if n := count(d.step(30*time.Second), OpDirect); n != 3 {
		t.Fatalf("%d more within the minute", n)
	}
	d.all(wire.Committed)
	if n := count(d.step(30*time.Second), OpDirect); n != 0 {
		t.Fatalf("%d more within the minute", n)
	}
	if !d.next.Equal(begin.Add(61 * time.Second)) {
		t.Fatal(d.next)
	}
	if n := count(d.step(time.Second), OpDirect); n != 7 {
		t.Fatal(n)
	}
}

func TestWhoTakesNoPart(t *testing.T) {
	list := devices(8)
	list[0].Version, list[0].Counter = "2.0", 20
	list[1].Version, list[1].Counter = "2.1", 21
	list[2].Hardware = "toaster"
	list[3].Product = "toast"
	list[4].Unfit = "revoked"
	list[5].Zone = "Mars/Olympus"
	list[6].Busy = true
	d := newDesk(t, plan(t, `{"schema": 1, "zone": "UTC", "windows": [{"from": "00:00", "to": "24:00"}], "phases": [{"name": "all", "percent": 100}]}`), list)
	if n := count(d.step(0), OpDirect); n != 1 {
		t.Fatal(n)
	}
	for i, want := range []Row{{State: Already}, {State: Already}, {State: Excluded, Reason: WrongHardware}, {State: Excluded, Reason: WrongProduct},
		{State: Excluded, Reason: "revoked"}, {State: Excluded, Reason: UnknownZone}, {State: Waiting}, {State: Directed}} {
		if row, _ := d.Row(deviceID(i)); row.State != want.State || row.Reason != want.Reason {
			t.Errorf("%d: %+v, want %+v", i, row, want)
		}
	}
	s := d.Status()
	if s.Outside.States[Already] != 2 || s.Outside.States[Excluded] != 4 || s.Phases[0].Size != 2 || s.Phases[0].Busy != 1 {
		t.Errorf("%+v", s)
	}
	// What was wrong is put right: the device takes part.
	fixed := list[2]
	fixed.Hardware = "unit-2"
	d.apply(Facts{fixed})
	d.apply(Freed{list[6].ID})
	if n := count(d.step(0), OpDirect); n != 2 {
		t.Fatal(n)
	}
}

func TestPauseResumeAbort(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 4, "phases": [{"name": "all", "percent": 100}]}`), devices(20))
	d.step(0)
	flying := d.in(Directed)
	d.report(flying[0], wire.Downloading)
	d.report(flying[1], wire.Downloading, wire.Installing, wire.Rebooting)
	d.apply(Pause{"lunch"})
	if got := d.step(time.Minute); count(got, OpWithdraw) != 2 || count(got, OpDirect) != 0 || got[0].Run != Paused || got[0].Reason != "lunch" {
		t.Fatal(got)
	}
	d.wantState(flying[0], Updating)
	d.report(flying[1], wire.Committed)
	if got := d.step(time.Minute); len(got) != 0 {
		t.Fatalf("a paused rollout went on: %v", got)
	}
	d.apply(Resume{})
	if got := d.step(time.Minute); count(got, OpDirect) != 3 || d.told[flying[2]].Update != UpdateName("ro-1", flying[2], 2) {
		t.Fatal(got)
	}
	d.report(flying[2], wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying)
	d.apply(Abort{})
	if got := d.step(time.Minute); count(got, OpWithdraw) != 3 || len(d.held) != 1 {
		t.Fatal(got)
	}
	d.report(flying[2], wire.Committed)
	d.wantState(flying[2], Committed)
	for _, e := range []Event{Resume{}, Pause{}, Retry{}, Approve{"all"}, Advance{"all"}} {
		if err := d.Apply(d.now, e); err == nil {
			t.Errorf("%T of an aborted rollout", e)
		}
	}
	if got := d.step(1000 * time.Hour); len(got) != 0 {
		t.Fatal(got)
	}
}

func TestStartAndEnd(t *testing.T) {
	s := plan(t, `{"schema": 1, "start": "2026-12-01T20:00:00Z", "phases": [{"name": "all", "percent": 100}]}`)
	d := newDesk(t, s, devices(1))
	if got := d.step(0); count(got, OpDirect) != 0 || !d.next.Equal(s.Start) {
		t.Fatal(got, d.next)
	}
	d.now = s.Start
	if got := d.step(0); count(got, OpDirect) != 1 {
		t.Fatal(got)
	}
	d.all(wire.Committed)
	if got := d.step(0); len(got) != 1 || got[0].Run != Finished || !d.next.IsZero() {
		t.Fatal(got, d.next)
	}
}

func TestRetry(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "pause": {"percent": 100}, "phases": [{"name": "all", "percent": 100, "success": 50}]}`), devices(4))
	d.step(0)
	d.report(deviceID(0), wire.Failed)
	d.report(deviceID(1), wire.Rejected)
	d.apply(Retry{[]string{deviceID(0), deviceID(3)}}) // the last has not failed
	if err := d.Apply(d.now, Retry{[]string{deviceID(1), "stranger"}}); err == nil {
		t.Error("a device that is not in it was retried")
	}
	if got := d.step(time.Second); count(got, OpDirect) != 1 || d.told[deviceID(0)].Update != UpdateName("ro-1", deviceID(0), 2) {
		t.Fatal(got)
	}
	// The end of the first attempt comes once more.
	d.apply(Report{Device: deviceID(0), Update: UpdateName("ro-1", deviceID(0), 1), State: wire.Failed})
	d.wantState(deviceID(0), Directed)
	d.apply(Retry{})
	d.step(time.Second)
	d.all(wire.Committed)
	d.want(Committed, 4)
}

func TestSuccessTakesACommit(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`), devices(3))
	d.step(0)
	d.report(deviceID(0), wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying)
	// On trial it runs the release, but its counter has not risen.
	dev := devices(3)[0]
	dev.Version = "2.0"
	d.apply(Facts{dev})
	d.wantState(deviceID(0), Updating)
	dev.Counter = 20
	d.apply(Facts{dev})
	d.wantState(deviceID(0), Committed)
	// Reports of others, of other rollouts and of nothing.
	for _, e := range []Report{{Device: "stranger", Update: UpdateName("ro-1", "stranger", 1)}, {Device: deviceID(1), Update: UpdateName("ro-2", deviceID(1), 1)},
		{Device: deviceID(1), Update: UpdateName("ro-1", deviceID(2), 1)}, {Device: deviceID(1), Update: UpdateName("ro-1", deviceID(1), 2)},
		{Device: deviceID(1), Update: "x"}, {Device: deviceID(1), Update: strings.ToUpper(UpdateName("ro-1", deviceID(1), 1))}} {
		e.State = wire.Committed
		d.apply(e)
	}
	d.want(Committed, 1)
	// A lost report in between does not matter, and an end is an end.
	d.report(deviceID(1), wire.RolledBack, wire.Committed, wire.Trying)
	d.wantState(deviceID(1), Failed)
}

func TestLateDevices(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "open_until": "2026-12-02T12:00:00Z", "phases": [
	  {"name": "canary", "canary": true, "count": 1}, {"name": "lab", "groups": ["lab"]}, {"name": "half", "percent": 50}, {"name": "rest", "percent": 100}]}`), devices(1))
	d.step(0)
	d.all(wire.Committed)
	if d.step(0); !d.next.Equal(begin.Add(24 * time.Hour)) {
		t.Fatal(d.next)
	}
	list := devices(201)[1:]
	list[0].Group, list[1].Hardware = "lab/1", "toaster"
	for _, dev := range list {
		d.apply(Facts{dev})
	}
	if n := count(d.step(0), OpDirect); n != 199 {
		t.Fatal(n)
	}
	s := d.Status()
	if s.Phases[0].Size != 1 || s.Phases[1].Size != 1 || s.Phases[2].Size < 80 || s.Phases[2].Size > 120 {
		t.Errorf("%+v", s)
	}
	d.all(wire.Committed)
	d.wantRun(Running)
	if d.step(24 * time.Hour); d.head.Run != Finished {
		t.Fatal(d.head)
	}
	dev := devices(999)[998]
	d.apply(Facts{dev})
	if _, ok := d.Row(dev.ID); ok {
		t.Error("a device joined a rollout that is over")
	}
}

func TestOnlyThePlansDevicesWithoutOpenUntil(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [{"name": "tenth", "percent": 10}]}`), devices(20))
	if n := count(d.step(0), OpDirect); n != 2 {
		t.Fatal(n)
	}
	row := Row{}
	for r := range d.Rows() {
		if r.State == Excluded {
			row = r
		}
	}
	if row.Reason != NoPhase {
		t.Errorf("%+v", row)
	}
	for _, dev := range devices(40) {
		d.apply(Facts{dev})
	}
	d.all(wire.Committed)
	if got := d.step(0); count(got, OpDirect) != 0 || len(d.recs) != 20 {
		t.Fatal(got)
	}
	d.wantRun(Finished)
}

func TestManyAtOnceComeInPieces(t *testing.T) {
	const n = 3*MaxActions + 10
	d := newDesk(t, plan(t, `{"schema": 1, "silent_after": "1h", "pause": {"percent": 100}, "phases": [{"name": "all", "percent": 100}]}`), devices(n))
	actions, next := d.Step(d.now)
	if len(actions) != MaxActions || !next.Equal(d.now) {
		t.Fatal(len(actions), next)
	}
	if d.step(0); len(d.in(Directed)) != n {
		t.Fatal(d.Status())
	}
	d.now = d.now.Add(time.Hour)
	for range 10 {
		actions, next := d.Step(d.now)
		if len(actions) > MaxActions+2 || count(actions, OpDirect) > 0 {
			t.Fatal(len(actions))
		}
		if !next.Equal(d.now) {
			break
		}
	}
	d.want(Silent, n)
}

func TestClockThatGoesBack(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "per_minute": 5, "phases": [{"name": "all", "percent": 100}]}`), devices(30))
	d.step(0)
	if n := count(d.step(-10*time.Second), OpDirect); n != 0 {
		t.Fatalf("%d more within the minute", n)
	}
	d.all(wire.Committed)
	// After a jump of years the rollout goes on.
	if n := count(d.step(-5*365*24*time.Hour), OpDirect); n != 5 {
		t.Fatal(n)
	}
}

func TestNewRefuses(t *testing.T) {
	good := setup(plan(t, `{"schema": 1, "roll_back": true, "zone": "UTC", "windows": [{"from": "01:00", "to": "02:00"}], "phases": [{"name": "all", "percent": 100}]}`))
	for name, c := range map[string]struct {
		change func(s *Setup)
		want   string
	}{
		"no name":        {func(s *Setup) { s.ID = "" }, "needs a name"},
		"bad plan":       {func(s *Setup) { s.Spec.Phases = nil }, "number of phases"},
		"no such zone":   {func(s *Setup) { s.Spec.Zone = "Mars/Olympus" }, "zone"},
		"no zones":       {func(s *Setup) { s.Zone = nil }, "time zone database"},
		"no fallback":    {func(s *Setup) { s.Fallback = nil }, "the tenant must allow it"},
		"lower fallback": {func(s *Setup) { s.Fallback = &Release{Product: "base", Version: "1.0", Counter: 10} }, "below 20"},
		"same fallback":  {func(s *Setup) { s.Fallback = &s.Release }, "another version"},
		"fallback for others": {func(s *Setup) {
			s.Fallback = &Release{Product: "base", Version: "1.0", Counter: 20, Hardware: []string{"unit-1"}}
		}, "does not fit unit-2"},
	} {
		s := good
		c.change(&s)
		if _, err := New(s, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(good, append(devices(2), devices(1)...)); err == nil {
		t.Error("a device twice")
	}
}

func TestChangesAreSmall(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 2, "phases": [{"name": "all", "percent": 100}]}`), devices(50))
	if _, head, rows := d.Changes(); !head || len(rows) != 50 {
		t.Fatal(head, len(rows))
	}
	d.step(0)
	if _, head, rows := d.Changes(); !head || len(rows) != 2 {
		t.Fatal(head, len(rows))
	}
	d.step(time.Hour)
	if _, head, rows := d.Changes(); head || len(rows) != 0 {
		t.Fatalf("a step that did nothing is to be stored: %v %v", head, rows)
	}
	d.report(d.in(Directed)[0], wire.Downloading)
	if _, head, rows := d.Changes(); head || len(rows) != 1 || rows[0].State != Updating {
		t.Fatal(head, rows)
	}
}

func TestRestoreRefuses(t *testing.T) {
	s := setup(plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`))
	r, err := New(s, devices(1))
	if err != nil {
		t.Fatal(err)
	}
	row, _ := r.Row(deviceID(0))
	for name, c := range map[string]func(h *Head, rows *[]Row){
		"unknown run":      func(h *Head, _ *[]Row) { h.Run = "asleep" },
		"another plan":     func(h *Head, _ *[]Row) { h.Phases = nil },
		"phase":            func(h *Head, _ *[]Row) { h.Phase = 1 },
		"device twice":     func(_ *Head, rows *[]Row) { *rows = append(*rows, row) },
		"no device":        func(_ *Head, rows *[]Row) { (*rows)[0].Device = "" },
		"no such state":    func(_ *Head, rows *[]Row) { (*rows)[0].State = numStates },
		"phase of device":  func(_ *Head, rows *[]Row) { (*rows)[0].Phase = 1 },
		"negative attempt": func(_ *Head, rows *[]Row) { (*rows)[0].Attempt = -1 },
	} {
		head, rows := r.Head(), []Row{row}
		c(&head, &rows)
		if _, err := Restore(s, head, slices.Values(rows)); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
}

// Whatever a crash cut off between deciding, storing and sending, the same is decided
// again or is stored.
func TestCrashBetweenDecidingAndStoring(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 5, "phases": [{"name": "all", "percent": 100}]}`), devices(20))
	stored := clone(t, d.Rollout)
	first, next := d.Step(d.now)
	again, then := stored.Step(d.now)
	if fmt.Sprint(first, next) != fmt.Sprint(again, then) {
		t.Fatalf("%v\n%v", first, again)
	}
	// Stored, and cut off before it was sent: nothing is decided a second time.
	restored := clone(t, d.Rollout)
	if actions, _ := restored.Step(d.now); len(actions) != 0 {
		t.Fatal(actions)
	}
	// An operator's word is stored before the step that follows from it.
	if err := restored.Apply(d.now, Abort{}); err != nil {
		t.Fatal(err)
	}
	if actions, _ := clone(t, restored).Step(d.now); count(actions, OpWithdraw) != 5 {
		t.Fatal(actions)
	}
}
