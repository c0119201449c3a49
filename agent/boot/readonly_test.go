package boot_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
)

// A bootloader that cannot write starts the safest slot, and says what is wrong.
func TestBootWithoutWriting(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  func(t testing.TB, f *boot.File)
		blocked string // a folder stands where this file has to be written
		want    boot.Slot
		wantErr bool
	}{
		{"first boot", func(testing.TB, *boot.File) {}, ".tmp-boot", boot.A, true},
		{"a trial that cannot be counted", tried, ".tmp-boot", boot.A, true},
		{"a fall back that cannot be kept", trying, ".tmp-boot", boot.A, true},
		{"a trial that cannot be noted", tried, "running", boot.B, true},
		{"a committed slot needs no writing", booted, ".tmp-boot", boot.A, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fastDir(t)
			f := open(t, dir, 1)
			c.before(t, f)
			blocked := filepath.Join(dir, c.blocked)
			must(t, os.RemoveAll(blocked))
			must(t, os.MkdirAll(filepath.Join(blocked, "x"), 0o700))
			for range 2 {
				slot, err := f.Boot()
				if slot != c.want || (err != nil) != c.wantErr {
					t.Fatalf("slot %s, %v; want %s", slot, err, c.want)
				}
				if c.blocked == "running" {
					break
				}
			}
		})
	}
}

// What cannot be made durable is not said to be done.
func TestChangesThatCannotBeWritten(t *testing.T) {
	dir := fastDir(t)
	f := open(t, dir, 1)
	trying(t, f)
	must(t, os.MkdirAll(filepath.Join(dir, ".tmp-boot", "x"), 0o700))
	before, err := f.State()
	must(t, err)
	for name, change := range map[string]func() error{
		"try":    func() error { return f.Try(boot.B) },
		"commit": func() error { return f.Commit(boot.B) },
		"cancel": f.Cancel,
	} {
		if err := change(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if s, err := f.State(); err != nil || s != before {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}
