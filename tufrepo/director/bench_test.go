package director_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// fleet puts n devices into the database without asking each for a key.
func (s *site) fleet(b testing.TB, n int) []director.Identity {
	b.Helper()
	s.tenant("acme", 1)
	ids := make([]director.Identity, n)
	must(b, s.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range ids {
			ids[i] = director.Identity{Tenant: "acme", Device: fmt.Sprintf("device-%05d", i)}
			if err := tx.AddDevice(store.Device{ID: ids[i].Device, Tenant: "acme", Key: []byte(ids[i].Device), Product: "base",
				Hardware: "base-unit-1", Serial: fmt.Sprint(i), Enrolled: s.clock(), Expires: s.clock()}); err != nil {
				return err
			}
		}
		return nil
	}))
	return ids
}

// BenchmarkIngest stores events of many devices, each acknowledged after it is on disk.
func BenchmarkIngest(b *testing.B) {
	s := newSite(b)
	ids := s.fleet(b, 1000)
	var next atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := next.Add(1)
			if n%1000 == 0 {
				s.pass(time.Second) // what the devices may say grows with time
			}
			if err := s.say(ids[n%1000], wire.LeafEvent, event("u", n, wire.Downloading)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDirectAll signs and stores a direction for each of 1000 devices.
func BenchmarkDirectAll(b *testing.B) {
	s := newSite(b)
	s.fleet(b, 1000)
	b.ResetTimer()
	for range b.N {
		if out := s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true}); len(out) != 1000 {
			b.Fatalf("%d outcomes", len(out))
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "devices/s")
}
