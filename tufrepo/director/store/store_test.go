package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
)

var server storetest.Server

func TestMain(m *testing.M) { goleak.VerifyTestMain(stopping{m}) }

// stopping stops the server before the search for what leaks.
type stopping struct{ *testing.M }

func (m stopping) Run() int {
	defer server.Stop()
	return m.M.Run()
}

var now = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)

func open(t testing.TB, path string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// both runs a test on both engines, each with a new database.
func both(t *testing.T, test func(t *testing.T, where string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "fairlead.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, server.Database(t)) })
}

// begun are databases that have device d1 of tenant acme: to migrate one takes longer than most
// tests.
var begun struct {
	file []byte
	url  string
}

func begin(t *testing.T, where string) {
	t.Helper()
	s := open(t, where, store.Options{})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// fresh runs a test on both engines, each with a store that has device d1 of tenant acme.
func fresh(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fairlead.db")
		if begun.file == nil {
			begin(t, path)
			var err error
			if begun.file, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, begun.file, 0o600); err != nil {
			t.Fatal(err)
		}
		test(t, open(t, path, store.Options{}))
	})
	t.Run("postgres", func(t *testing.T) {
		if begun.url == "" {
			where := server.Database(t)
			begin(t, where)
			begun.url = where
		}
		test(t, open(t, server.Copy(t, begun.url), store.Options{}))
	})
}

func addDevice(tx *store.Tx, id string) error {
	return errors.Join(tx.AddTenant("acme", now),
		tx.AddDevice(store.Device{ID: id, Tenant: "acme", Key: []byte(id), Serial: id, Enrolled: now, Expires: now}))
}

func update(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := open(t, where, store.Options{})
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(addDevice(tx, "d1"), tx.AddRoot("acme", 1, []byte("root")))
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, where, store.Options{})
		view(t, s, func(tx *store.Tx) error {
			tn, err := tx.Tenant("acme")
			if err != nil || tn.Root != 1 || tn.Devices != 1 || !tn.Created.Equal(now) {
				t.Errorf("tenant %+v, %v", tn, err)
			}
			d, err := tx.Device("d1")
			if err != nil || d.Serial != "d1" || !d.Seen.IsZero() || d.Online {
				t.Errorf("device %+v, %v", d, err)
			}
			return nil
		})
	})
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fairlead.db")
	open(t, path, store.Options{})
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("database file: %v, %v; want mode 0600", st.Mode(), err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		open(t, where, store.Options{}).Close()
		store.SetVersion(t, where, 999)
		_, err := store.Open(context.Background(), where, store.Options{})
		if err == nil || !strings.Contains(err.Error(), "use a newer") {
			t.Fatalf("opening a database of a later version: %v", err)
		}
	})
}

func TestDirectionVersionOnlyGrows(t *testing.T) { fresh(t, testDirectionVersionOnlyGrows) }

func testDirectionVersionOnlyGrows(t *testing.T, s *store.Store) {
	set := func(version int64) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			return tx.SetDirection(store.Direction{Device: "d1", Version: version, Issued: now, Expires: now, Raw: fmt.Append(nil, version)})
		})
	}
	for _, c := range []struct {
		version int64
		ok      bool
	}{{3, true}, {3, false}, {2, false}, {4, true}, {1, false}} {
		if err := set(c.version); (err == nil) != c.ok {
			t.Errorf("version %d: %v", c.version, err)
		}
	}
	view(t, s, func(tx *store.Tx) error {
		d, err := tx.Direction("d1")
		if d.Version != 4 || string(d.Raw) != "4" {
			t.Errorf("stored %+v", d)
		}
		return err
	})
}

func TestEventIsStoredOnce(t *testing.T) { fresh(t, testEventIsStoredOnce) }

func testEventIsStoredOnce(t *testing.T, s *store.Store) {
	for i, want := range []bool{true, false} {
		update(t, s, func(tx *store.Tx) error {
			added, err := tx.AddEvent("d1", "e", 7, []byte("{}"), now)
			if added != want {
				t.Errorf("arrival %d: added %v", i, added)
			}
			return err
		})
	}
	update(t, s, func(tx *store.Tx) error {
		added, err := tx.AddEvent("d1", "other", 7, []byte("{}"), now)
		if !added {
			t.Error("another epoch is another event")
		}
		return err
	})
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", 10)
		if len(all) != 2 {
			t.Errorf("%d events, want 2", len(all))
		}
		return err
	})
}

// TestOneFailureTakesNobodyAlong runs good, failing and panicking updates at once, so
// that they share transactions.
func TestOneFailureTakesNobodyAlong(t *testing.T) { fresh(t, testOneFailureTakesNobodyAlong) }

func testOneFailureTakesNobodyAlong(t *testing.T, s *store.Store) {
	const n = 300
	boom := errors.New("boom")
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(context.Background(), func(tx *store.Tx) error {
				if _, err := tx.AddEvent("d1", "e", int64(i+1), []byte("{}"), now); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return boom
				case 2:
					panic("bug")
				}
				return nil
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if i%3 == 0 && err != nil || i%3 == 1 && !errors.Is(err, boom) || i%3 == 2 && err == nil {
			t.Errorf("update %d: %v", i, err)
		}
	}
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", n)
		if len(all) != n/3 {
			t.Errorf("%d events have remained, want %d", len(all), n/3)
		}
		return err
	})
}

func TestForeignKeysHold(t *testing.T) { fresh(t, testForeignKeysHold) }

func testForeignKeysHold(t *testing.T, s *store.Store) {
	err := s.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.AddEvent("nobody", "e", 1, []byte("{}"), now)
		return err
	})
	if err == nil {
		t.Error("an event of an unknown device was stored")
	}
}

// TestFull fills the database: nothing is acknowledged that is not there, and reading
// goes on.
func TestFull(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "fairlead.db"), store.Options{MaxBytes: 400 << 10})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	body := make([]byte, 3000)
	var stored, seq int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				mu.Lock()
				seq++
				n := seq
				mu.Unlock()
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					_, err := tx.AddEvent("d1", "e", n, body, now)
					return err
				})
				if err != nil {
					if !errors.Is(err, store.ErrFull) {
						t.Errorf("event %d: %v, want ErrFull", n, err)
					}
					return
				}
				mu.Lock()
				stored++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if stored == 0 {
		t.Fatal("nothing fitted")
	}
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", 1<<20)
		if int64(len(all)) != stored {
			t.Errorf("%d events are there, %d were acknowledged", len(all), stored)
		}
		return err
	})
}

func TestCloseAnswersEveryone(t *testing.T) { fresh(t, testCloseAnswersEveryone) }

func testCloseAnswersEveryone(t *testing.T, s *store.Store) {
	ctx := context.Background()
	begun, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Update(ctx, func(*store.Tx) error { close(begun); <-release; return nil }); err != nil {
			t.Error("the update that was running:", err)
		}
	})
	<-begun
	for range 50 {
		wg.Go(func() {
			if err := s.Update(ctx, func(*store.Tx) error { return nil }); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
	}
	wg.Go(func() { s.Close() })
	close(release)
	wg.Wait()
	if err := s.Update(ctx, func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestUpdatesView(t *testing.T) { fresh(t, testUpdatesView) }

func testUpdatesView(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(addDevice(tx, "d2"),
			tx.AddUpdate(store.Update{ID: "u1", Device: "d1", Version: "1", Created: now}),
			tx.AddUpdate(store.Update{ID: "u2", Device: "d2", Version: "1", Created: now}),
			tx.AddUpdate(store.Update{ID: "u3", Device: "d1", Version: "2", Created: now}))
	})
	for _, c := range []struct {
		q    store.UpdateQuery
		want string
	}{
		{store.UpdateQuery{}, "u3 u2 u1 "},
		{store.UpdateQuery{Latest: true}, "u3 u2 "},
		{store.UpdateQuery{Device: "d1"}, "u3 u1 "},
		{store.UpdateQuery{Tenant: "other"}, ""},
		{store.UpdateQuery{Limit: 1}, "u3 "},
	} {
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Updates(c.q)
			var got string
			for _, u := range all {
				got += u.ID + " "
			}
			if got != c.want {
				t.Errorf("%+v: %q, want %q", c.q, got, c.want)
			}
			return err
		})
	}
}

func TestOpenTakesARelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("repo", 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "repo/fairlead.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
