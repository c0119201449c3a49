package store_test

import (
	"context"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// only is our migrations up to a number, and more.
func only(t *testing.T, n int, more ...string) fs.FS {
	t.Helper()
	names, err := fs.Glob(store.Migrations(), "migrations/*.sql")
	if err != nil || len(names) < n {
		t.Fatal(err, names)
	}
	out := fstest.MapFS{}
	for _, name := range names[:n] {
		text, err := fs.ReadFile(store.Migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: text}
	}
	for i, text := range more {
		out["migrations/9"+string(rune('0'+i))+".sql"] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

// TestOldDatabaseComesUpToDate opens a database of the first version that has a device with
// two updates of the same second.
func TestOldDatabaseComesUpToDate(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		if err := store.Migrate(t.Context(), t, where, only(t, 1)); err != nil {
			t.Fatal(err)
		}
		store.Exec(t, where, `INSERT INTO tenants (name, created) VALUES ('acme', 1);
		  INSERT INTO devices (id, tenant, claim, key, product, hardware, serial, mac, agent, enrolled, expires)
		    VALUES ('d1', 'acme', '', CAST('k1' AS BLOB), 'base', 'hw', 'BU-0042', '00:1A:2B:3C:4D:5E', '', 1, 2);
		  INSERT INTO updates (id, device, product, previous, version, state, created, changed) VALUES
		    ('u3', 'd1', 'base', '', '3', 'committed', 9, 9), ('u1', 'd1', 'base', '', '1', 'committed', 5, 5),
		    ('u2', 'd1', 'base', '', '2', 'committed', 5, 5)`)
		s := open(t, where, store.Options{})
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Updates(store.UpdateQuery{Tenant: "acme"})
			if err != nil || len(all) != 3 || all[0].ID != "u3" || all[2].ID != "u1" {
				t.Errorf("updates %+v, %v", all, err)
			}
			latest, err := tx.Updates(store.UpdateQuery{Latest: true})
			if err != nil || len(latest) != 1 || latest[0].ID != "u3" {
				t.Errorf("latest %+v, %v", latest, err)
			}
			for _, text := range []string{"0042", "bu-00", "2b:3c", "D1"} {
				found, err := tx.Devices(store.DeviceQuery{Tenant: "acme", Text: text})
				if err != nil || len(found) != 1 || found[0].Serial != "BU-0042" || found[0].Attributes == nil || found[0].CloudOff {
					t.Errorf("%s finds %+v, %v", text, found, err)
				}
			}
			return nil
		})
		update(t, s, func(tx *store.Tx) error {
			return tx.AddUpdate(store.Update{ID: "u4", Device: "d1", Created: time.Unix(9, 0)})
		})
		view(t, s, func(tx *store.Tx) error {
			latest, err := tx.Updates(store.UpdateQuery{Device: "d1", Latest: true})
			if len(latest) != 1 || latest[0].ID != "u4" {
				t.Errorf("latest after another: %+v", latest)
			}
			return err
		})
	})
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		if err := store.Migrate(t.Context(), t, where, only(t, 1, "CREATE TABLE half (x TEXT) STRICT; INSERT INTO nowhere VALUES (1)")); err == nil {
			t.Fatal("the migration did not fail")
		}
		if err := store.Migrate(t.Context(), t, where, only(t, 1, "CREATE TABLE half (x TEXT) STRICT;")); err != nil {
			t.Fatal("again, without its fault:", err)
		}
	})
}

// TestKilledMigrationLeavesNothing kills the server in the middle of a migration.
func TestKilledMigrationLeavesNothing(t *testing.T) {
	where := server.Database(t)
	if err := store.Migrate(t.Context(), t, where, only(t, 1)); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		failed <- store.Migrate(context.Background(), t, where, only(t, 1, "CREATE TABLE half (x TEXT) STRICT; SELECT pg_sleep(60)"))
	}()
	waitFor(t, "SELECT 1/count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
	server.Kill(t)
	if err := <-failed; err == nil {
		t.Error("the migration did not fail")
	}
	server.Restart(t)
	if err := store.Migrate(t.Context(), t, where, only(t, 1, "CREATE TABLE half (x TEXT) STRICT;")); err != nil {
		t.Fatal("after the restart:", err)
	}
}

// waitFor runs a query on the server until it succeeds.
func waitFor(t *testing.T, query string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := server.Try(query)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(query, err)
		}
	}
}

func TestManyOpenANewDatabaseAtOnce(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				s, err := store.Open(context.Background(), where, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}
