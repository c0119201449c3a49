package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/agent/wire"
)

// crowd is several rollouts that want the same devices, and a caller who keeps to the
// contract: rows that become held are taken from the others.
type crowd struct {
	*rapid.T
	now      time.Time
	rollouts []*Rollout
	holder   map[string]int // of held devices
	told     []map[string]Action
}

func newCrowd(t *rapid.T, n int) *crowd {
	c := &crowd{T: t, now: begin, holder: map[string]int{}}
	for i := range n {
		s := genSpec(t)
		s.Pause = &Brake{Percent: 100}
		s.RollBack = false
		set := setup(s)
		set.ID = fmt.Sprintf("ro-%d", i)
		set.Release.Counter += int64(i)
		set.Release.Version = fmt.Sprintf("2.%d", i)
		set.Fallback = nil
		list := devices(12)
		for d := range list {
			_, list[d].Busy = c.holder[list[d].ID]
		}
		r, err := New(set, list)
		if err != nil {
			t.Fatal(err)
		}
		c.rollouts, c.told = append(c.rollouts, r), append(c.told, map[string]Action{})
		c.turn(i)
	}
	return c
}

// turn is what the package asks of a caller.
func (c *crowd) turn(n int) {
	for {
		actions, next := c.rollouts[n].Step(c.now)
		_, _, rows := c.rollouts[n].Changes()
		for _, row := range rows {
			c.settle(n, row)
		}
		for _, a := range actions {
			if a.Op == OpDirect || a.Op == OpAsk {
				c.told[n][a.Device] = a
			}
		}
		if !next.Equal(c.now) {
			return
		}
	}
}

func (c *crowd) settle(n int, row Row) {
	holder, held := c.holder[row.Device]
	switch {
	case row.State.Holds() && held && holder != n:
		c.Fatalf("rollout %d has %s (%v), which rollout %d has", n, row.Device, row.State, holder)
	case row.State.Holds() && !held:
		c.holder[row.Device] = n
		c.others(n, Taken{row.Device})
	case !row.State.Holds() && held && holder == n:
		delete(c.holder, row.Device)
		c.others(n, Freed{row.Device})
	}
}

func (c *crowd) others(n int, e Event) {
	for i, r := range c.rollouts {
		if i != n {
			if err := r.Apply(c.now, e); err != nil {
				c.Fatal(err)
			}
		}
	}
}

func TestADeviceIsInOneRollout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCrowd(t, rapid.IntRange(2, 3).Draw(t, "rollouts"))
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			n := rapid.IntRange(0, len(c.rollouts)-1).Draw(t, "rollout")
			r, device := c.rollouts[n], deviceID(rapid.IntRange(0, 11).Draw(t, "device"))
			update := c.told[n][device].Update
			e := rapid.SampledFrom([]Event{
				Report{Device: device, Update: update, State: wire.Rebooting}, Report{Device: device, Update: update, State: wire.Committed},
				Report{Device: device, Update: update, State: wire.Failed}, Answer{Device: device, Update: update, Say: Yes},
				Answer{Device: device, Update: update, Say: Later}, Seen{device}, Retry{}, Pause{}, Resume{}, Abort{}}).Draw(t, "event")
			if _, abort := e.(Abort); abort && rapid.IntRange(0, 9).Draw(t, "really") > 0 {
				continue
			}
			_ = r.Apply(c.now, e)
			c.turn(n)
			if rapid.IntRange(0, 2).Draw(t, "sleep") == 0 {
				c.now = c.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
				for i := range c.rollouts {
					c.turn(i)
				}
			}
		}
	})
}

func TestTakenIsRefusedOfWhatIsHeld(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`), devices(2))
	d.apply(Taken{deviceID(0)})
	if got := d.step(0); count(got, OpDirect) != 1 {
		t.Fatal(got)
	}
	if err := d.Apply(d.now, Taken{deviceID(1)}); err == nil {
		t.Fatal("two rollouts have the device")
	}
	d.apply(Freed{deviceID(0)})
	if got := d.step(0); count(got, OpDirect) != 1 || !slices.Contains(d.in(Directed), deviceID(0)) {
		t.Fatal(got)
	}
}

func TestConsentDoesNotHoldWhatAnotherRolloutHas(t *testing.T) {
	d := newDesk(t, consentPlan(t, true, Force), devices(1))
	d.step(0)
	d.answer(deviceID(0), Later, 100*time.Hour)
	d.step(0)
	d.apply(Taken{deviceID(0)})
	if got := d.step(72 * time.Hour); len(got) != 0 || len(d.held) != 0 {
		t.Fatal(got, d.Status())
	}
	d.apply(Freed{deviceID(0)})
	if got := d.step(0); len(got) != 1 || got[0].Op != OpDirect || got[0].Kind != Forced {
		t.Fatal(got)
	}
}

func TestConsentDoesNotHoldForARolloutThatIsOver(t *testing.T) {
	for _, e := range []Event{Abort{}, RollBack{}} {
		d := newDesk(t, consentPlan(t, true, Force), devices(2))
		d.step(0)
		d.answer(deviceID(0), Later, 100*time.Hour)
		d.answer(deviceID(1), Yes, 0)
		d.step(0)
		d.apply(e)
		d.step(0)
		if got := d.step(72 * time.Hour); len(got) != 0 || len(d.held) != 0 {
			t.Fatalf("%T: %v %+v", e, got, d.Status())
		}
	}
}

func TestALateRebootDoesNotHoldWhatAnotherRolloutHas(t *testing.T) {
	d := newDesk(t, plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`), devices(1))
	d.step(0)
	late := Report{Device: deviceID(0), Update: d.told[deviceID(0)].Update, State: wire.Rebooting}
	d.apply(Pause{})
	d.step(0)
	d.apply(Taken{deviceID(0)})
	d.apply(late)
	d.wantState(deviceID(0), Waiting)
	d.apply(Freed{deviceID(0)})
	d.apply(late)
	d.wantState(deviceID(0), Waiting)
	late.State = wire.Committed
	d.apply(late)
	d.wantState(deviceID(0), Committed)
}
