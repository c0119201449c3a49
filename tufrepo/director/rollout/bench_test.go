package rollout

import (
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

const tenPhases = `{"schema": 1, "in_flight": 50000, "per_minute": 6000, "silent_after": "6h", "zone": "Europe/Berlin",
  "windows": [{"from": "21:00", "to": "06:00"}],
  "phases": [
    {"name": "canary", "canary": true, "count": 100, "soak": "1h"},
    {"name": "p1", "percent": 1, "soak": "1h"}, {"name": "p2", "percent": 2}, {"name": "p5", "percent": 5},
    {"name": "p10", "percent": 10}, {"name": "p20", "percent": 20, "soak": "1h"}, {"name": "p35", "percent": 35},
    {"name": "p50", "percent": 50}, {"name": "p75", "percent": 75}, {"name": "p100", "percent": 100}]}`

// BenchmarkMillion takes a million devices in six time zones through ten phases in virtual
// time. Each reports five states; one in 200 fails and one in 100 is never heard of. What
// would be stored is made after every step.
func BenchmarkMillion(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		m := newMillion(b, 1_000_000)
		m.run()
		b.ReportMetric(float64(m.steps), "steps/op")
		b.ReportMetric(float64(m.actions), "actions/op")
		b.ReportMetric(float64(m.reports), "reports/op")
		b.ReportMetric(float64(m.rows), "rows/op")
		b.ReportMetric(m.now.Sub(begin).Hours(), "virtual-h/op")
	}
}

// million is a fleet whose devices report by the second.
type million struct {
	*desk
	due                           [3600][]Report // by the second, within the hour
	steps, actions, reports, rows int
	waiting                       int
}

func newMillion(b *testing.B, n int) *million {
	zones := []string{"", "America/New_York", "America/Los_Angeles", "Asia/Tokyo", "Asia/Kolkata", "Australia/Sydney"}
	list := devices(n)
	for i := range list {
		list[i].Zone = zones[i%len(zones)]
	}
	return &million{desk: newDesk(b, plan(b, tenPhases), list)}
}

func (m *million) run() {
	for m.head.Run != Finished {
		actions, next := m.Step(m.now)
		m.steps, m.actions = m.steps+1, m.actions+len(actions)
		_, _, rows := m.Changes()
		m.rows += len(rows)
		for _, a := range actions {
			if a.Op == OpDirect {
				m.schedule(a)
			}
		}
		if !next.Equal(m.now) && m.head.Run != Finished {
			m.advance(next)
		}
		if m.head.Run == Paused {
			m.t.Fatal(m.head.Reason)
		}
	}
	m.check()
}

// schedule makes a device report what it does, in a quarter of an hour up to three.
func (m *million) schedule(a Action) {
	place := position("fate", a.Device)
	if place%100 == 0 && a.Phase != "canary" {
		return
	}
	last := wire.Committed
	if place%200 == 1 && a.Phase != "canary" {
		last = wire.RolledBack
	}
	pace := 180 + int(place/200%540)
	for n, s := range []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying, last} {
		at := (int(m.now.Unix()) + pace*(n+1)) % len(m.due)
		m.due[at] = append(m.due[at], Report{Device: a.Device, Update: a.Update, State: s})
		m.waiting++
	}
}

// advance lets time pass to the next report, or to next.
func (m *million) advance(next time.Time) {
	for {
		m.now = m.now.Add(time.Second)
		now := &m.due[int(m.now.Unix())%len(m.due)]
		for _, e := range *now {
			if err := m.Apply(m.now, e); err != nil {
				m.t.Fatal(err)
			}
		}
		m.reports, m.waiting = m.reports+len(*now), m.waiting-len(*now)
		if len(*now) > 0 || !next.IsZero() && !m.now.Before(next) {
			*now = (*now)[:0]
			return
		}
		if m.waiting == 0 && next.IsZero() {
			m.t.Fatalf("nothing is to come, and the rollout is not over: %+v", m.Status())
		}
	}
}

func (m *million) check() {
	s := m.Status()
	good, bad := 0, 0
	for _, p := range s.Phases {
		good, bad = good+p.States[Committed], bad+p.States[Failed]+p.States[Silent]
	}
	if good+bad != len(m.recs) || bad == 0 || s.InFlight != 0 {
		m.t.Fatalf("%d good, %d bad, %+v", good, bad, s)
	}
}
