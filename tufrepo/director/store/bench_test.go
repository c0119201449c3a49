package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
)

// BenchmarkEvents stores events of many devices, each acknowledged after it is on disk, as the
// director does when they report.
func BenchmarkEvents(b *testing.B) {
	durable := storetest.Server{Fsync: true}
	defer durable.Stop()
	for name, where := range map[string]func(b *testing.B) string{
		"sqlite":   func(b *testing.B) string { return b.TempDir() + "/fairlead.db" },
		"postgres": func(b *testing.B) string { return durable.Database(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b, where(b), store.Options{})
			devices := fleet(1000)
			addFleet(b, s, devices)
			body := fmt.Appendf(nil, `{"filler":"%0300d"}`, 1)
			var next atomic.Int64
			b.SetParallelism(64)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := next.Add(1)
					id := devices[n%int64(len(devices))].ID
					if err := s.Update(context.Background(), func(tx *store.Tx) error {
						if _, err := tx.AddEvent(id, "e", n, body, now); err != nil {
							return err
						}
						if _, err := tx.Update("u"); err != nil && err != store.ErrNotFound {
							return err
						}
						return tx.Touch(id, now)
					}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
