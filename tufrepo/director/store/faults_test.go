package store_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// smallDisk is a file system of its own, where this machine lets us mount one.
func smallDisk(t *testing.T, size string, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk") // short, and PostgreSQL's user must come in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := unix.Mount("fairlead", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("NOT TESTED on a disk of its own: mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fillUp stores events until one is refused, and returns how many there are and why.
func fillUp(t *testing.T, s *store.Store) (stored int, err error) {
	t.Helper()
	raw := make([]byte, 1500)
	for seq := int64(1); seq < 100_000; seq++ {
		rand.Read(raw)
		body := []byte(hex.EncodeToString(raw)) // nothing that could be stored in less
		err = s.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.AddEvent("d1", "e", seq, body, now)
			return err
		})
		if err != nil {
			return stored, err
		}
		stored++
	}
	t.Fatal("it never fills")
	return 0, nil
}

// wants looks at an error as an operator reads it, and at what is stored.
func wants(t *testing.T, s *store.Store, stored int, err, sentinel error, advice string) {
	t.Helper()
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), advice) {
		t.Errorf("%v; want %v, and %q", err, sentinel, advice)
	}
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", 1<<20)
		if len(all) != stored {
			t.Errorf("%d events are there, %d were acknowledged", len(all), stored)
		}
		return err
	})
}

func TestDiskIsFull(t *testing.T) {
	dir := smallDisk(t, "4m", 0o700)
	s := open(t, filepath.Join(dir, "fairlead.db"), store.Options{})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stored, err := fillUp(t, s)
	wants(t, s, stored, err, store.ErrFull, "make room on its disk")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *store.Tx) error { _, err := tx.AddEvent("d1", "later", 1, []byte("{}"), now); return err })
}

func TestServersDiskIsFull(t *testing.T) {
	dir := smallDisk(t, "24m", 0o777)
	s := open(t, server.OnDisk(t, dir), store.Options{Conns: 2})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	stored, err := fillUp(t, s)
	wants(t, s, stored, err, store.ErrFull, "the PostgreSQL server's disk has no room: make room")
}

// TestServerIsReadOnly: as providers make it when the disk is nearly full.
func TestServerIsReadOnly(t *testing.T) {
	where := server.Database(t)
	s := open(t, where, store.Options{Conns: 2})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	name := where[strings.LastIndex(where, "/")+1 : strings.Index(where, "?")]
	server.Execute(t, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	server.Execute(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fairlead-repo'")
	stored, err := fillUp(t, s)
	wants(t, s, stored, err, store.ErrUnavailable, "takes no writes")
	server.Execute(t, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	server.Execute(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fairlead-repo'")
	update(t, s, func(tx *store.Tx) error { _, err := tx.AddEvent("d1", "later", 1, []byte("{}"), now); return err })
}

// TestFileIsReadOnly: the disk came up read-only after its machine did.
func TestFileIsReadOnly(t *testing.T) {
	dir := smallDisk(t, "4m", 0o700)
	path := filepath.Join(dir, "fairlead.db")
	begin(t, path)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=4m"); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), path, store.Options{})
	if err == nil {
		err = s.Update(t.Context(), func(tx *store.Tx) error { return tx.Touch("d1", now) })
		s.Close()
	}
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("%v; want ErrUnavailable, and what to do", err)
	}
}

// TestDiskFailsAtTheCommit lets writing fail as a dying disk does: what becomes of the update is
// not known, and doing it again does no harm.
func TestDiskFailsAtTheCommit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "fairlead.db"), store.Options{})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	event := func(tx *store.Tx) error { _, err := tx.AddEvent("d1", "e", 1, []byte("{}"), now); return err }
	failing(t, func() {
		err := s.Update(t.Context(), event)
		if !errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "its disk fails") {
			t.Errorf("%v; want ErrUnknown, and what to do", err)
		}
	})
	update(t, s, event)
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", 10)
		if len(all) != 1 {
			t.Errorf("%d events", len(all))
		}
		return err
	})
}

// failing runs f while no file of this process can be written.
func failing(t *testing.T, f func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(unix.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(unix.RLIMIT_FSIZE, &before) //nolint:errcheck // it was so before
	f()
}

func TestFileIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fairlead.db")
	begin(t, path)
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database. ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), path, store.Options{})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("%v; want ErrUnavailable, and what to do", err)
	}
}
