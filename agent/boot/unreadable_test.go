package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/firmware/durable"
)

// deafFS fails to read the file that says which slot runs.
type deafFS struct {
	durable.System
	deaf *bool
}

func (d deafFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.Handle, error) {
	if *d.deaf && strings.HasSuffix(name, "/"+runningName) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	return d.System.OpenFile(name, flag, perm)
}

// TestUnreadableRunningIsNotTakenForCommitted: during a trial, one failed read made the committed slot the one that runs. A
// good release was rolled back, and its slot, which ran, might have been written.
func TestUnreadableRunningIsNotTakenForCommitted(t *testing.T) {
	deaf := false
	f, err := OpenFile(t.TempDir(), FileOptions{Disk: durable.Disk{FS: deafFS{deaf: &deaf}}})
	if err != nil {
		t.Fatal(err)
	}
	start := func(want Slot) {
		t.Helper()
		if got, err := f.Boot(); err != nil || got != want {
			t.Fatalf("slot %s starts, %v", got, err)
		}
	}
	start(A)
	if err := f.Try(B); err != nil {
		t.Fatal(err)
	}
	start(B)
	deaf = true
	if s, err := f.State(); !errors.Is(err, syscall.EIO) {
		t.Errorf("state %+v, %v", s, err)
	}
	if err := f.Forbid(B); !errors.Is(err, syscall.EIO) {
		t.Errorf("the slot that runs may be written: %v", err)
	}
	deaf = false
	if s, err := f.State(); err != nil || s.Running != B || s.Trial != B {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

// TestSilentRunningIsNotTakenForCommitted: the same where the file could be read and had nothing in it.
func TestSilentRunningIsNotTakenForCommitted(t *testing.T) {
	for _, says := range []string{"", "b", "c trial\n", strings.Repeat("b trial\n", 20)} {
		dir := t.TempDir()
		f, err := OpenFile(dir, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start := func(want Slot) {
			t.Helper()
			if got, err := f.Boot(); err != nil || got != want {
				t.Fatalf("slot %s starts, %v", got, err)
			}
		}
		start(A)
		if err := f.Try(B); err != nil {
			t.Fatal(err)
		}
		start(B)
		if err := os.WriteFile(filepath.Join(dir, runningName), []byte(says), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := f.State(); err == nil {
			t.Errorf("%q: state %+v", says, s)
		}
		if f.Forbid(B) == nil {
			t.Errorf("%q: the slot that runs may be written", says)
		}
		start(A) // the trial is over
		if s, err := f.State(); err != nil || s.Running != A || !s.B.Failed {
			t.Errorf("%q: after the next start: %+v, %v", says, s, err)
		}
	}
}
