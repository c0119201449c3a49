package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

func addRollouts(tx *store.Tx, ids ...string) error {
	for i, id := range ids {
		if err := tx.AddRollout(store.Rollout{ID: id, Tenant: "acme", Created: now.Add(time.Duration(i) * time.Second), Creator: "eve",
			Spec: []byte(`{"s":1}`), Setup: []byte(`{"t":2}`), Head: []byte(`{}`), Run: "scheduled", Next: now.Add(time.Minute)}); err != nil {
			return err
		}
	}
	return nil
}

func TestRollouts(t *testing.T) { fresh(t, testRollouts) }

func testRollouts(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error { return addRollouts(tx, "r1", "r2", "r3") })
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return addRollouts(tx, "r1") }); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second r1: %v", err)
	}
	update(t, s, func(tx *store.Tx) error {
		if err := tx.SetRollout(store.Rollout{ID: "r1", Head: []byte(`{"x":1}`), Run: "finished", Finished: now.Add(time.Hour)}); err != nil {
			return err
		}
		return tx.SetRolloutRows("r2", []store.RolloutRow{{Device: "d1", State: "waiting"}})
	})
	view(t, s, func(tx *store.Tx) error {
		r, err := tx.Rollout("r1")
		if err != nil || string(r.Head) != `{"x":1}` || string(r.Spec) != `{"s":1}` || string(r.Setup) != `{"t":2}` || r.Run != "finished" ||
			!r.Finished.Equal(now.Add(time.Hour)) || !r.Next.IsZero() || r.Creator != "eve" {
			t.Errorf("%+v, %v", r, err)
		}
		for _, c := range []struct {
			q    store.RolloutQuery
			want string
		}{
			{store.RolloutQuery{}, "r3 r2 r1 "}, {store.RolloutQuery{Tenant: "acme", Limit: 1}, "r3 "}, {store.RolloutQuery{Open: true}, "r3 r2 "},
			{store.RolloutQuery{Run: "finished"}, "r1 "}, {store.RolloutQuery{Tenant: "other"}, ""}, {store.RolloutQuery{Device: "d1", Open: true}, "r2 "},
		} {
			all, err := tx.Rollouts(c.q)
			got := ""
			for _, r := range all {
				got += r.ID + " "
			}
			if got != c.want || err != nil {
				t.Errorf("%+v: %q, %v; want %q", c.q, got, err, c.want)
			}
		}
		return nil
	})
	due := func(at time.Time, want string) {
		t.Helper()
		view(t, s, func(tx *store.Tx) error {
			got, err := tx.RolloutsDue(at)
			if fmt.Sprint(got) != want {
				t.Errorf("due at %v: %v, want %s", at, got, want)
			}
			return err
		})
	}
	due(now, "[]")
	due(now.Add(time.Minute), "[r2 r3]")
	update(t, s, func(tx *store.Tx) error { return tx.AddRolloutEvent("r1", []byte(`{}`), now) })
	due(now, "[r1]")
}

func TestInbox(t *testing.T) { fresh(t, testInbox) }

func testInbox(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		if err := addRollouts(tx, "r1", "r2"); err != nil {
			return err
		}
		for i := range 123 {
			if err := tx.AddRolloutEvent("r1", fmt.Append(nil, i), now); err != nil {
				return err
			}
		}
		return tx.AddRolloutEvent("r2", []byte("other"), now)
	})
	var had []store.RolloutEvent
	view(t, s, func(tx *store.Tx) (err error) {
		had, err = tx.RolloutEvents("r1", 0)
		return err
	})
	if len(had) != 123 || string(had[0].Body) != "0" || string(had[122].Body) != "122" || !had[5].Received.Equal(now) {
		t.Fatalf("%d events", len(had))
	}
	// What comes between reading and dropping stays.
	update(t, s, func(tx *store.Tx) error { return tx.AddRolloutEvent("r1", []byte("late"), now) })
	update(t, s, func(tx *store.Tx) error { return tx.DropRolloutEvents(had) })
	view(t, s, func(tx *store.Tx) error {
		for rollout, want := range map[string]string{"r1": "late", "r2": "other"} {
			left, err := tx.RolloutEvents(rollout, 0)
			if err != nil || len(left) != 1 || string(left[0].Body) != want {
				t.Errorf("%s: %+v, %v", rollout, left, err)
			}
		}
		return nil
	})
}

func TestRolloutRows(t *testing.T) { fresh(t, testRolloutRows) }

func testRolloutRows(t *testing.T, s *store.Store) {
	devices := fleet(123)
	addFleet(t, s, devices)
	rows := make([]store.RolloutRow, len(devices))
	for i, d := range devices {
		rows[i] = store.RolloutRow{Device: d.ID, State: "waiting", Phase: i % 3, Zone: "UTC"}
	}
	full := store.RolloutRow{Device: devices[9].ID, State: "directed", Reason: "why", Phase: -1, Attempt: 2, Step: 3, Strikes: 1, Flags: 511,
		Zone: "Europe/Brussels", Timer: 5, Until: 6, First: 7, Held: true}
	rows[9] = full
	set := func(rollout string, rows ...store.RolloutRow) error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return tx.SetRolloutRows(rollout, rows) })
	}
	update(t, s, func(tx *store.Tx) error { return addRollouts(tx, "r1", "r2") })
	for range 2 { // the second time changes nothing
		if err := set("r1", rows...); err != nil {
			t.Fatal(err)
		}
	}
	view(t, s, func(tx *store.Tx) error {
		n := 0
		if err := tx.EachRolloutRow("r1", func(r store.RolloutRow) error {
			if n++; r.Device == full.Device && r != full {
				t.Errorf("row %+v, want %+v", r, full)
			}
			return nil
		}); err != nil || n != len(rows) {
			t.Errorf("%d rows, %v", n, err)
		}
		page, err := tx.RolloutRows(store.RowQuery{Rollout: "r1", State: "directed"})
		if err != nil || len(page) != 1 || page[0] != full {
			t.Errorf("page %+v, %v", page, err)
		}
		stop := errors.New("enough")
		if err := tx.EachRolloutRow("r1", func(store.RolloutRow) error { return stop }); err != stop {
			t.Errorf("stopped: %v", err)
		}
		holder, err := tx.Holder(full.Device)
		if holder != "r1" {
			t.Errorf("holder %q", holder)
		}
		return err
	})
	if err := set("r2", full); !errors.Is(err, store.ErrConflict) {
		t.Errorf("held twice: %v, want ErrConflict", err)
	}
	update(t, s, func(tx *store.Tx) error { // it goes from one to the other
		gone := full
		gone.Held = false
		return errors.Join(tx.SetRolloutRows("r1", []store.RolloutRow{gone}), tx.SetRolloutRows("r2", []store.RolloutRow{full}))
	})
}

// TestOneRolloutHoldsADevice lets the rollouts of two directors race for devices.
func TestOneRolloutHoldsADevice(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := two(t, where)
		devices := fleet(40)
		addFleet(t, s[0], devices)
		update(t, s[0], func(tx *store.Tx) error { return addRollouts(tx, "r0", "r1") })
		var won [2]int
		var wg sync.WaitGroup
		for i := range s {
			wg.Go(func() {
				for n := range devices {
					if i == 1 {
						n = len(devices) - 1 - n
					}
					err := s[i].Update(context.Background(), func(tx *store.Tx) error {
						return tx.SetRolloutRows(fmt.Sprint("r", i), []store.RolloutRow{{Device: devices[n].ID, State: "directed", Held: true}})
					})
					if err == nil {
						won[i]++
					} else if !errors.Is(err, store.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if won[0]+won[1] != len(devices) {
			t.Errorf("%v of %d devices were taken", won, len(devices))
		}
	})
}

// BenchmarkSeedRollout writes the rows of a new rollout, each time in one update.
func BenchmarkSeedRollout(b *testing.B) {
	devices := fleet(20_000)
	for name, where := range map[string]func(b *testing.B) string{
		"sqlite":   func(b *testing.B) string { return b.TempDir() + "/fairlead.db" },
		"postgres": func(b *testing.B) string { return server.Database(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b, where(b), store.Options{})
			addFleet(b, s, devices)
			rows := make([]store.RolloutRow, len(devices))
			for i, d := range devices {
				rows[i] = store.RolloutRow{Device: d.ID, State: "waiting", Zone: "Europe/Brussels"}
			}
			b.ResetTimer()
			for i := range b.N {
				id := fmt.Sprint("r", i)
				update(b, s, func(tx *store.Tx) error {
					if err := addRollouts(tx, id); err != nil {
						return err
					}
					return tx.SetRolloutRows(id, rows)
				})
			}
			b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
