package store_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// two opens two directors' stores on one database: of SQLite there is one.
func two(t *testing.T, where string) [2]*store.Store {
	t.Helper()
	a := open(t, where, store.Options{Node: "a"})
	if where[0] == '/' {
		return [2]*store.Store{a, a}
	}
	return [2]*store.Store{a, open(t, where, store.Options{Node: "b"})}
}

func count(tx *store.Tx, key string) error {
	text, err := tx.Meta(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(text)
	return tx.SetMeta(key, strconv.Itoa(n+1))
}

// TestNoUpdateIsLost reads and writes one row from many sides.
func TestNoUpdateIsLost(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		const sides, times = 6, 20
		stores := two(t, where)
		var wg sync.WaitGroup
		for i := range sides {
			wg.Go(func() {
				for range times {
					if err := stores[i%2].Update(context.Background(), func(tx *store.Tx) error { return count(tx, "n") }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, stores[0], func(tx *store.Tx) error {
			n, err := tx.Meta("n")
			if n != strconv.Itoa(sides*times) {
				t.Errorf("counted to %s, want %d", n, sides*times)
			}
			return err
		})
	})
}

func lease(s *store.Store, holder string, until, at time.Time) (l store.Lease, err error) {
	err = s.Update(context.Background(), func(tx *store.Tx) error {
		l, err = tx.Lease("rollout/r1", holder, until, at)
		return err
	})
	return l, err
}

func TestLease(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := two(t, where)
		minute := now.Add(time.Minute)
		for i, c := range []struct {
			holder string
			at     time.Time
			term   int64
			err    error
		}{
			{"a", now, 1, nil},
			{"a", now, 1, nil},
			{"b", now, 1, store.ErrHeld},
			{"b", minute.Add(-time.Millisecond), 1, store.ErrHeld},
			{"b", minute, 2, nil},
			{"a", now, 2, store.ErrHeld}, // a's clock is behind
		} {
			l, err := lease(s[i%2], c.holder, c.at.Add(time.Minute), c.at)
			if !errors.Is(err, c.err) || l.Term != c.term {
				t.Errorf("%d: %+v, %v; want term %d, %v", i, l, err, c.term, c.err)
			}
		}
		update(t, s[0], func(tx *store.Tx) error { return tx.EndLease("rollout/r1", "a") })
		if _, err := lease(s[0], "a", minute, minute); !errors.Is(err, store.ErrHeld) {
			t.Errorf("what b has was given up by a: %v", err)
		}
		update(t, s[1], func(tx *store.Tx) error { return tx.EndLease("rollout/r1", "b") })
		if l, err := lease(s[0], "a", minute, now); err != nil || l.Term != 3 {
			t.Errorf("after the end: %+v, %v", l, err)
		}
	})
}

// TestOneGetsTheLease lets many ask at once.
func TestOneGetsTheLease(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := two(t, where)
		got := make([]string, 12)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				holder := fmt.Sprint("h", i)
				_, err := lease(s[i%2], holder, now.Add(time.Hour), now)
				if err == nil {
					got[i] = holder
				} else if !errors.Is(err, store.ErrHeld) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var winners []string
		for _, h := range got {
			if h != "" {
				winners = append(winners, h)
			}
		}
		if len(winners) != 1 {
			t.Errorf("%v have it", winners)
		}
	})
}

// TestTurnsDoNotOverlap lets two holders whose clocks are wrong take turns at the same time:
// each believes that the other's lease is over.
func TestTurnsDoNotOverlap(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := two(t, where)
		const turns = 25
		var wg sync.WaitGroup
		for i, st := range s {
			wg.Go(func() {
				for range turns {
					err := st.Update(context.Background(), func(tx *store.Tx) error {
						if _, err := tx.Lease("rollout/r1", fmt.Sprint(i), now, now); err != nil {
							return err
						}
						return count(tx, "turns")
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, s[0], func(tx *store.Tx) error {
			n, err := tx.Meta("turns")
			if n != fmt.Sprint(2*turns) {
				t.Errorf("%s turns have counted, want %d", n, 2*turns)
			}
			return err
		})
	})
}

// TestFailedStatementEndsTheUpdate: nothing is stored of an update that overlooks an error,
// and nothing works after it.
func TestFailedStatementEndsTheUpdate(t *testing.T) { fresh(t, testFailedStatement) }

func testFailedStatement(t *testing.T, s *store.Store) {
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.SetMeta("k", "v"); err != nil {
			return err
		}
		if err := tx.AddDevice(store.Device{ID: "d1", Tenant: "acme", Key: []byte("other"), Enrolled: now, Expires: now}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a second d1: %v, want ErrConflict", err)
		}
		if _, err := tx.Device("d1"); !errors.Is(err, store.ErrConflict) {
			t.Errorf("reading afterwards: %v, want ErrConflict", err)
		}
		if err := tx.SetMeta("k2", "v"); !errors.Is(err, store.ErrConflict) {
			t.Errorf("writing afterwards: %v, want ErrConflict", err)
		}
		return nil
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("the update: %v, want ErrConflict", err)
	}
	view(t, s, func(tx *store.Tx) error {
		if _, err := tx.Meta("k"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("it has left something: %v", err)
		}
		return nil
	})
}

func TestOnlineIsOfOneDirector(t *testing.T) {
	where := server.Database(t)
	s := two(t, where)
	update(t, s[0], func(tx *store.Tx) error { return errors.Join(addDevice(tx, "d1"), addDevice(tx, "d2")) })
	set := func(i int, id string, online bool) {
		update(t, s[i], func(tx *store.Tx) error { return tx.SetOnline(id, online, now) })
	}
	want := func(what, ids string) {
		t.Helper()
		view(t, s[0], func(tx *store.Tx) error {
			all, err := tx.Devices(store.DeviceQuery{})
			got := ""
			for _, d := range all {
				if d.Online {
					got += d.ID + " "
				}
			}
			if got != ids {
				t.Errorf("%s: %q are online, want %q", what, got, ids)
			}
			return err
		})
	}
	set(0, "d1", true)
	set(1, "d2", true)
	set(1, "d1", true)
	set(0, "d1", false) // the old connection ends late
	want("moved", "d1 d2 ")
	update(t, s[0], func(tx *store.Tx) error { return tx.AllOffline() })
	want("a starts", "d1 d2 ")
	set(1, "d1", false)
	want("d1 went", "d2 ")
	update(t, s[0], func(tx *store.Tx) error { return tx.NodeOffline("b") })
	want("b is gone", "")
}

func TestGeneration(t *testing.T) { fresh(t, testGeneration) }

func testGeneration(t *testing.T, s *store.Store) {
	for _, c := range []struct{ atLeast, want int64 }{{0, 1}, {0, 2}, {10, 11}, {3, 12}} {
		update(t, s, func(tx *store.Tx) error {
			n, err := tx.NextGeneration(c.atLeast)
			if n != c.want {
				t.Errorf("generation %d, want %d", n, c.want)
			}
			return err
		})
	}
}
