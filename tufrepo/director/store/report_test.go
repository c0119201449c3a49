package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

func TestTally(t *testing.T) { fresh(t, testTally) }

// testTally gives two tenants updates to two releases, one of them long ago.
func testTally(t *testing.T, s *store.Store) {
	committed := store.Tally{Product: "p", Version: "2", State: "committed"}
	update := func(tenant, version, state, reason string, millis int64, created time.Time) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			id := fmt.Sprint(tenant, version, state, millis)
			if err := tx.AddDevice(store.Device{ID: id, Tenant: tenant, Key: []byte(id), Serial: id, Enrolled: now, Expires: now}); err != nil {
				return err
			}
			u := store.Update{ID: id, Device: id, Product: "p", Version: version, State: state, Created: created}
			if err := tx.AddUpdate(u); err != nil {
				return err
			}
			u.Reason, u.Millis, u.Fetched, u.Written, u.Changed = reason, millis, 10, 100, now
			return tx.SetUpdate(u)
		}
	}
	steps := []func(*store.Tx) error{
		func(tx *store.Tx) error { return errors.Join(tx.AddTenant("a", now), tx.AddTenant("b", now)) },
		update("a", "2", "failed", "io", 9, now),
		update("a", "2", "committed", "", 5000, now.Add(-time.Hour)), // no sooner than asked for
		update("a", "2", "committed", "", 1, now.Add(-time.Hour-time.Second)),
		update("b", "2", "committed", "", 7, now),
		update("a", "10", "idle", "", 0, now),
	}
	for i := range 19 {
		steps = append(steps, update("a", "2", "committed", "", int64(1000+i), now))
	}
	for _, step := range steps {
		if err := s.Update(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		got, err := tx.TallyUpdates("a", now.Add(-time.Hour))
		want := []store.Tally{{"p", "10", "idle", "", 1, 10, 100}, {"p", "2", "committed", "", 20, 200, 2000}, {"p", "2", "failed", "io", 1, 10, 100}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("tallies %+v, %v", got, err)
		}
		for n, want := range map[int64]int64{0: 1000, 9: 1009, 18: 1018, 19: 5000} {
			if got, err := tx.UpdateMillis("a", now.Add(-time.Hour), committed, n); err != nil || got != want {
				t.Errorf("update %d took %d ms, %v; want %d", n, got, err, want)
			}
		}
		if _, err := tx.UpdateMillis("a", now.Add(-time.Hour), committed, 20); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the 21st of 20: %v", err)
		}
		all, err := tx.TallyUpdates("", now.Add(-time.Hour))
		if err != nil || len(all) != 3 || all[1].Updates != 21 {
			t.Errorf("tallies of all tenants %+v, %v", all, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
