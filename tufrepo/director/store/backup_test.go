package store_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// TestBackup copies a database while two rows are always written together.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "fairlead.db"), store.Options{})
	step := func(tx *store.Tx) error {
		if err := count(tx, "a"); err != nil {
			return err
		}
		return count(tx, "b")
	}
	update(t, s, step)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			update(t, s, step)
		}
	})
	for _, name := range []string{"copy1", "copy2"} {
		path := filepath.Join(dir, name)
		if err := s.BackupTo(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
		c := open(t, path, store.Options{})
		view(t, c, func(tx *store.Tx) error {
			a, err := tx.Meta("a")
			b, err2 := tx.Meta("b")
			if a != b || err != nil || err2 != nil {
				t.Errorf("%s has %s and %s, %v, %v", name, a, b, err, err2)
			}
			return nil
		})
	}
	cancel()
	wg.Wait()
	if err := s.BackupTo(t.Context(), filepath.Join(dir, "copy1")); err == nil {
		t.Error("an older copy was overwritten")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
