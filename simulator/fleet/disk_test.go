package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware/durable"
)

// TestLocksWithoutDescriptors: a unit's lock is one, costs no open file, and is free again when it was given back.
func TestLocksWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	on := durable.Disk{FS: disk{FS: durable.System{}, power: &power{}, lazy: true, locks: &locks{held: map[string]bool{}}}}
	before := descriptors(t)
	lock, err := on.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d files were open, and %d are", before, after)
	}
	if _, err := on.TryLock(path); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := on.TryLock(path)
	if err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
