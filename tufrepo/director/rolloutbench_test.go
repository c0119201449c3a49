package director_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// large is a plan as people write them for many devices.
const large = `{"schema": 1, "in_flight": 2000, "phases": [{"name": "canary", "canary": true, "count": 20},
  {"name": "tenth", "percent": 10}, {"name": "all", "percent": 100}]}`

// BenchmarkRolloutStart100k: from the order to the answer, on an SQLite file. The directions
// of the first phase are signed and stored; of its 20 devices, or of the whole fleet, as
// far as one turn goes.
func BenchmarkRolloutStart100k(b *testing.B) {
	for name, plan := range map[string]string{"canary": large, "everybody": `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`} {
		b.Run(name, func(b *testing.B) {
			s := newSite(b)
			s.fleet(b, 100_000)
			b.ResetTimer()
			for n := range b.N {
				s.rollout(plan, func(o *director.NewRollout) { o.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", n) })
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
		})
	}
}

// BenchmarkRolloutTurn100k: a report, and the turn that follows from it, in a rollout of
// 100,000 devices; "restored" by a director that has just started.
func BenchmarkRolloutTurn100k(b *testing.B) {
	for _, restored := range []bool{false, true} {
		b.Run(map[bool]string{false: "remembered", true: "restored"}[restored], func(b *testing.B) {
			s := newSite(b)
			s.fleet(b, 100_000)
			s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "in_flight": 4000}`)
			page, err := s.RolloutDevices(ctx, "acme", store.RowQuery{Rollout: theRollout, State: rollout.Directed.String(), Limit: 4000})
			must(b, err)
			b.ResetTimer()
			for n := range b.N {
				if restored {
					b.StopTimer()
					s.start()
					b.StartTimer()
				}
				id := director.Identity{Tenant: "acme", Device: page[n%len(page)].Device}
				must(b, s.say(id, wire.LeafEvent, event(rollout.UpdateName(theRollout, id.Device, 1), int64(n+1), wire.Downloading)))
				if took, err := s.TakeTurns(ctx); took != 1 || err != nil {
					b.Fatalf("%d turns, %v", took, err)
				}
				s.pass(time.Millisecond)
			}
		})
	}
}

// BenchmarkRolloutDirect100k: how long 100,000 directions take, turn by turn.
func BenchmarkRolloutDirect100k(b *testing.B) {
	for range b.N {
		s := newSite(b)
		s.fleet(b, 100_000)
		b.ResetTimer()
		s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`)
		s.turns()
		b.ReportMetric(100_000/b.Elapsed().Seconds(), "directions/s")
	}
}

// BenchmarkDevicePage100k: a page of 100 of the list of devices, by what operators ask for.
func BenchmarkDevicePage100k(b *testing.B) {
	s := newSite(b)
	s.fleet(b, 100_000)
	must(b, s.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range 100 {
			if err := tx.SetGroup(fmt.Sprintf("device-%05d", i*997), fmt.Sprintf("berlin/hq/floor-%d", i%7), s.clock()); err != nil {
				return err
			}
		}
		return nil
	}))
	for name, q := range map[string]store.DeviceQuery{
		"first": {}, "middle": {After: "device-50000"}, "group": {Group: "berlin"}, "serial": {Text: "99999"},
		"product": {Product: "base"}, "nothing": {Version: "9"},
	} {
		b.Run(name, func(b *testing.B) {
			q.Tenant, q.Limit = "acme", 100
			for range b.N {
				must(b, s.Store.View(ctx, func(tx *store.Tx) error { _, err := tx.Devices(q); return err }))
			}
		})
	}
}
