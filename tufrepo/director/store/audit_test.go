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

// say appends an entry whose hash is its number.
func say(tx *store.Tx, tenant, action string) error {
	last, hash, err := tx.AuditLast(tenant)
	if err != nil {
		return err
	}
	return tx.AppendAudit(store.AuditEntry{Tenant: tenant, Seq: last + 1, Time: now.Add(time.Duration(last) * time.Second).Add(123), Actor: "eve", Role: "admin",
		Action: action, Object: "d1", Outcome: "done", Detail: []byte(`{}`), Prev: hash, Hash: fmt.Append(nil, last+1)})
}

// TestAuditChain appends from many sides: no entry is lost, and each follows on the one before.
func TestAuditChain(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := two(t, where)
		const sides, times = 4, 12
		var wg sync.WaitGroup
		for i := range sides {
			wg.Go(func() {
				for range times {
					if err := s[i%2].Update(context.Background(), func(tx *store.Tx) error { return say(tx, "acme", fmt.Sprint("a", i)) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, s[0], func(tx *store.Tx) error {
			all, err := tx.Audit(store.AuditQuery{Tenant: "acme"})
			if len(all) != sides*times {
				t.Errorf("%d entries", len(all))
			}
			prev := ""
			for i, a := range all {
				if a.Seq != int64(i+1) || string(a.Prev) != prev || !a.Time.Equal(now.Add(time.Duration(i)*time.Second+123)) {
					t.Errorf("entry %d: %+v", i, a)
				}
				prev = string(a.Hash)
			}
			mine, err2 := tx.Audit(store.AuditQuery{Tenant: "acme", Action: "a1", Newest: true, Limit: 3})
			if len(mine) != 3 || mine[0].Seq < mine[2].Seq || mine[1].Action != "a1" {
				t.Errorf("picked %+v", mine)
			}
			some, err3 := tx.Audit(store.AuditQuery{Tenant: "acme", After: 3, Before: 9, Since: now.Add(5 * time.Second), Until: now.Add(7 * time.Second)})
			if len(some) != 2 || some[0].Seq != 6 {
				t.Errorf("range %+v", some)
			}
			return errors.Join(err, err2, err3)
		})
	})
}

func TestAuditNumbersFollow(t *testing.T) { fresh(t, testAuditNumbers) }

func testAuditNumbers(t *testing.T, s *store.Store) {
	add := func(seq int64) error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return tx.AppendAudit(store.AuditEntry{Seq: seq, Time: now}) })
	}
	for _, c := range []struct {
		seq int64
		ok  bool
	}{{2, false}, {0, false}, {1, true}, {1, false}, {3, false}, {2, true}} {
		if err := add(c.seq); (err == nil) != c.ok || err != nil && !errors.Is(err, store.ErrConflict) {
			t.Errorf("entry %d: %v", c.seq, err)
		}
	}
}

func TestAuditIsPruned(t *testing.T) { fresh(t, testAuditPruned) }

func testAuditPruned(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		for range 10 {
			if err := say(tx, "acme", "a"); err != nil {
				return err
			}
		}
		return say(tx, "", "of the service")
	})
	check := func(first int, want int64, start int64) {
		t.Helper()
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Audit(store.AuditQuery{Tenant: "acme"})
			if len(all) != first {
				t.Errorf("%d entries are left, want %d", len(all), first)
			}
			last, hash, err2 := tx.AuditLast("acme")
			seq, begin, err3 := tx.AuditStart("acme")
			if last != want || string(hash) != fmt.Sprint(want) || seq != start || string(begin) != fmt.Sprint(start) {
				t.Errorf("last %d %s, start %d %s", last, hash, seq, begin)
			}
			if len(all) > 0 && string(all[0].Prev) != string(begin) {
				t.Errorf("the chain does not follow on %s", begin)
			}
			return errors.Join(err, err2, err3)
		})
	}
	prune := func(below int64) error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return tx.PruneAudit("acme", below) })
	}
	if err := prune(5); err != nil {
		t.Fatal(err)
	}
	check(6, 10, 4)
	if err := prune(3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("pruned what is gone: %v", err)
	}
	if err := prune(11); err != nil {
		t.Fatal(err)
	}
	check(0, 10, 10)
	update(t, s, func(tx *store.Tx) error { return say(tx, "acme", "b") })
	check(1, 11, 10)
	view(t, s, func(tx *store.Tx) error {
		names, err := tx.AuditTenants()
		if fmt.Sprint(names) != "[ acme]" {
			t.Errorf("chains %q", names)
		}
		return err
	})
}

func TestAuditHeads(t *testing.T) { fresh(t, testAuditHeads) }

func testAuditHeads(t *testing.T, s *store.Store) {
	add := func(day string) error {
		return s.Update(t.Context(), func(tx *store.Tx) error {
			return tx.AddAuditHead(store.AuditHead{Tenant: "acme", Day: day, Seq: 3, Hash: []byte("h"), Signature: []byte("s"), KeyID: "k"})
		})
	}
	for _, day := range []string{"2026-09-02", "2026-09-01", "2026-09-03"} {
		if err := add(day); err != nil {
			t.Error(err)
		}
	}
	if err := add("2026-09-02"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second head of a day: %v", err)
	}
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.AuditHeads("acme", "2026-09-02", 10)
		if len(all) != 2 || all[0].Day != "2026-09-02" || string(all[0].Signature) != "s" || all[0].KeyID != "k" {
			t.Errorf("%+v", all)
		}
		return err
	})
}
