package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

func consentPlan(t *testing.T, ask bool, then Then) Spec {
	return plan(t, fmt.Sprintf(`{"schema": 1, "kind": "soft", "consent": {"ask": %v, "longest": "72h", "then": %q}, "in_flight": 1,
	  "pause": {"percent": 100}, "phases": [{"name": "all", "percent": 100}]}`, ask, then))
}

// answer is what people say to what they were told last.
func (d *desk) answer(device string, say Say, until time.Duration) {
	d.t.Helper()
	d.apply(Answer{Device: device, Update: d.told[device].Update, Say: say, Until: d.now.Add(until)})
}

func TestConsentIsAskedFor(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(3))
	if got := d.step(0); count(got, OpAsk) != 3 || count(got, OpDirect) != 0 {
		t.Fatal(got)
	}
	asked := d.in(Asked)
	d.answer(asked[0], Yes, 0)
	d.answer(asked[1], Yes, 0)
	question := d.told[asked[0]]
	got := d.step(time.Hour)
	if count(got, OpDirect) != 1 || got[0].Kind != Soft {
		t.Fatalf("two agreed, and one may fly: %v", got)
	}
	if got[0].Device == asked[0] && got[0].Update != question.Update {
		t.Errorf("directed as %s, asked as %s", got[0].Update, question.Update)
	}
	d.want(Agreed, 1)
	d.want(Asked, 1)
}

func TestDeferral(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(1))
	device := deviceID(0)
	d.step(0)
	d.answer(device, Later, 10*time.Hour)
	old := d.told[device].Update
	if got := d.step(0); count(got, OpWithdraw) != 1 || !d.next.Equal(begin.Add(10*time.Hour)) {
		t.Fatal(got, d.next)
	}
	d.apply(Answer{Device: device, Update: old, Say: Yes}) // it comes late, or twice
	d.wantState(device, Deferred)
	if got := d.step(10 * time.Hour); count(got, OpAsk) != 1 {
		t.Fatal(got)
	}
	d.answer(device, Later, 1000*time.Hour)
	if d.step(0); !d.next.Equal(begin.Add(72 * time.Hour)) {
		t.Fatalf("it may be put off until %v", d.next)
	}
	got := d.step(62 * time.Hour)
	if len(got) != 1 || got[0].Op != OpDirect || got[0].Kind != Forced {
		t.Fatal(got)
	}
	d.answer(device, Later, time.Hour)
	d.wantState(device, Directed)
	d.all(wire.Committed)
	d.step(0)
	d.wantRun(Finished)
}

func TestNoAnswer(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(1))
	d.step(0)
	if got := d.step(72 * time.Hour); len(got) != 1 || got[0].Op != OpDirect || got[0].Kind != Forced {
		t.Fatal(got)
	}
	d = newDesk(t, consentPlan(t, true, Skip), devices(2))
	d.step(0)
	d.answer(deviceID(1), No, 0)
	d.wantState(deviceID(1), Declined)
	if got := d.step(72 * time.Hour); count(got, OpWithdraw) != 2 || count(got, OpDirect) != 0 {
		t.Fatal(got)
	}
	d.want(Declined, 2)
	d.wantRun(Finished)
}

func TestNoIsADeferralWhereItIsForced(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(1))
	d.step(0)
	d.answer(deviceID(0), No, 0)
	if d.step(time.Hour); !d.next.Equal(begin.Add(72 * time.Hour)) {
		t.Fatal(d.next)
	}
	d.wantState(deviceID(0), Deferred)
}

// Without a question the device itself may put off what it was directed to, until the reboot.
func TestSoftDirectionIsPutOff(t *testing.T) {
	d := newDesk(t, consentPlan(t, false, Force), devices(3))
	d.step(0)
	device := d.in(Directed)[0]
	d.report(device, wire.Downloading)
	d.answer(device, Later, time.Hour)
	got := d.step(0)
	if count(got, OpWithdraw) != 1 || count(got, OpDirect) != 1 {
		t.Fatalf("its place is free: %v", got)
	}
	other := d.in(Directed)[0]
	d.report(other, wire.Rebooting)
	d.answer(other, Later, time.Hour)
	d.wantState(other, Updating)
	d.report(other, wire.Committed)
	d.step(0)
	d.all(wire.Committed)
	if got := d.step(time.Hour); count(got, OpDirect) != 1 || got[0].Device != device {
		t.Fatal(got)
	}
	d.report(device, wire.Downloading)
	d.answer(device, Later, -time.Hour)
	if d.step(0); !d.next.Equal(d.now.Add(shortestDeferral * time.Second)) {
		t.Fatalf("it is asked again at %v", d.next)
	}
}

func TestDownloadOnly(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "kind": "download_only", "phases": [{"name": "one", "count": 1}, {"name": "all", "percent": 100}]}`), devices(2))
	if got := d.step(0); count(got, OpDirect) != 1 || got[len(got)-1].Kind != DownloadOnly {
		t.Fatal(got)
	}
	d.all(wire.Downloading, wire.Installing)
	d.wantRun(Running)
	d.all(StagedWord)
	if got := d.step(0); count(got, OpDirect) != 1 {
		t.Fatal(got)
	}
	d.all(wire.Committed) // somebody started it by hand
	d.step(0)
	d.wantRun(Finished)
}

func TestWithdrawnAndSupersededIsNoFailure(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "in_flight": 1, "zone": "UTC", "windows": [{"from": "11:00", "to": "13:00"}], "silent_after": "30h",
	  "phases": [{"name": "all", "percent": 100}]}`), devices(1))
	device := deviceID(0)
	if got := d.step(0); count(got, OpDirect) != 1 || !got[len(got)-1].Until.Equal(begin.Add(time.Hour)) {
		t.Fatal(got)
	}
	d.report(device, wire.Downloading)
	first := d.told[device].Update
	if got := d.step(time.Hour); count(got, OpWithdraw) != 1 {
		t.Fatal(got)
	}
	if !d.next.Equal(begin.Add(23 * time.Hour)) {
		t.Fatal(d.next)
	}
	d.apply(Report{Device: device, Update: first, State: wire.Failed, Reason: Superseded})
	d.wantState(device, Waiting)
	if got := d.step(22 * time.Hour); count(got, OpDirect) != 1 || d.told[device].Update == first {
		t.Fatal(got)
	}
	// This time the end of the window comes too late: it is rebooting already.
	d.report(device, wire.Downloading)
	second := d.told[device].Update
	d.step(2 * time.Hour)
	d.wantState(device, Waiting)
	d.apply(Report{Device: device, Update: second, State: wire.Rebooting})
	d.wantState(device, Updating)
	if got := d.step(48 * time.Hour); count(got, OpWithdraw) != 0 && d.in(Silent) == nil {
		t.Fatal(got)
	}
	d.apply(Report{Device: device, Update: second, State: wire.RolledBack, Reason: "health"})
	row, _ := d.Row(device)
	if row.State != Failed || row.Reason != "health" {
		t.Fatalf("%+v", row)
	}
}

// A device that never answers is silent after the deadline, even if no window is that long.
func TestSilenceGoesOnOverNights(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "zone": "UTC", "windows": [{"from": "11:00", "to": "13:00"}], "silent_after": "40h", "pause": {"percent": 100},
	  "phases": [{"name": "all", "percent": 100}]}`), devices(2))
	d.step(0)
	for range 100 {
		d.now = d.next
		if d.step(0); len(d.in(Silent)) == 2 {
			break
		}
		for _, device := range d.in(Silent) {
			t.Fatalf("%s is silent at %v", device, d.now)
		}
	}
	if want := begin.Add(40 * time.Hour); !d.now.Equal(want) {
		t.Fatalf("silent at %v, want %v", d.now, want)
	}
}

func TestWindowsAreThoseOfTheDevice(t *testing.T) {
	list := devices(3)
	list[0].Zone, list[1].Zone = "Asia/Tokyo", "America/New_York"
	d := newDesk(t, plan(t, `{"schema": 1, "zone": "Europe/Berlin", "windows": [{"from": "22:00", "to": "23:00"}], "phases": [{"name": "all", "percent": 100}]}`), list)
	for _, c := range []struct{ at, device string }{
		{"2026-12-01T13:00", deviceID(0)}, {"2026-12-01T21:00", deviceID(2)}, {"2026-12-02T03:00", deviceID(1)},
	} {
		if d.step(0); d.next.Format(minutes) != c.at {
			t.Fatalf("next %v, want %s", d.next, c.at)
		}
		d.now = d.next
		if got := d.step(0); len(got) != 1 || got[0].Device != c.device {
			t.Fatal(c, got)
		}
		d.all(wire.Committed)
	}
	// A device that moves waits for its new window.
	d = newDesk(t, d.setup.Spec, list[:1])
	d.step(0)
	list[0].Zone = "America/New_York"
	d.apply(Facts{list[0]})
	if d.step(0); d.next.Format(minutes) != "2026-12-02T03:00" {
		t.Fatal(d.next)
	}
}
