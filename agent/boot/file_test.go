package boot_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/boot/boottest"
)

// fastDir is a folder in memory where there is one: these tests sync by the thousand.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fairlead-boot-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func open(t testing.TB, dir string, tries int) *boot.File {
	t.Helper()
	f, err := boot.OpenFile(dir, boot.FileOptions{Tries: tries})
	must(t, err)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFileConforms(t *testing.T) {
	for _, tries := range []int{1, 3} {
		t.Run(strings.Repeat("try", tries), func(t *testing.T) {
			boottest.Run(t, func(t testing.TB) boottest.Rig {
				dir := fastDir(t)
				f := open(t, dir, tries)
				return boottest.Rig{
					Boot:  f,
					Tries: tries,
					Reboot: func() boot.Slot {
						slot, err := open(t, dir, tries).Boot()
						if err != nil && !errors.Is(err, boot.ErrLost) {
							t.Error(err)
						}
						return slot
					},
					Lose: func() { spoil(t, dir, "boot.0", "boot.1") },
				}
			})
		})
	}
}

// spoil flips a bit in each of the files.
func spoil(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(b)/2] ^= 4
		must(t, os.WriteFile(path, b, 0o600))
	}
}

func TestOpenFileOptions(t *testing.T) {
	for _, o := range []boot.FileOptions{{Tries: -1}, {Tries: 8}, {First: "c"}} {
		if _, err := boot.OpenFile(t.TempDir(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	dir := filepath.Join(t.TempDir(), "state", "boot")
	f, err := boot.OpenFile(dir, boot.FileOptions{First: boot.B})
	must(t, err)
	if s, err := f.State(); err != nil || s.Committed != boot.B || s.Running != boot.B || s.A.Bootable {
		t.Errorf("%+v, %v", s, err)
	}
	if slot, err := f.Boot(); slot != boot.B || err != nil {
		t.Errorf("slot %s, %v", slot, err)
	}
	must(t, f.Try(boot.A))
	for _, want := range []boot.Slot{boot.A, boot.B} { // one try by default
		if slot, err := f.Boot(); slot != want || err != nil {
			t.Errorf("slot %s, %v; want %s", slot, err, want)
		}
	}
}

// Without a state Boot starts a and b in turn until one of them repairs, and a loss after that begins at a again.
func TestLastResort(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, dir string)
	}{
		{"both generations spoilt", func(t *testing.T, dir string) { spoil(t, dir, "boot.0", "boot.1") }},
		{"both empty", func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, "boot.0"), 0))
			must(t, os.Truncate(filepath.Join(dir, "boot.1"), 0))
		}},
		{"both gone", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "boot.0")))
			must(t, os.Remove(filepath.Join(dir, "boot.1")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fastDir(t)
			f := open(t, dir, 1)
			_, err := f.Boot()
			must(t, err)
			must(t, f.Try(boot.B))
			c.lose(t, dir)
			for range 2 {
				for _, want := range []boot.Slot{boot.A, boot.B, boot.A} {
					slot, err := f.Boot()
					if slot != want || !errors.Is(err, boot.ErrLost) || !strings.Contains(err.Error(), "last resort") {
						t.Fatalf("slot %s, %v; want %s", slot, err, want)
					}
				}
				must(t, f.Commit(boot.A))
				c.lose(t, dir)
			}
		})
	}
}

// One spoilt copy is no loss: the other is the state, or, while a new one is written, the state before.
func TestOneCopyIsEnough(t *testing.T) {
	dir := fastDir(t)
	f := open(t, dir, 1)
	_, err := f.Boot()
	must(t, err)
	must(t, f.Try(boot.B))
	_, err = f.Boot()
	must(t, err)
	must(t, f.Commit(boot.B))
	for _, name := range []string{"boot.0", "boot.1"} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		spoil(t, dir, name)
		if s, err := f.State(); err != nil || s.Lost || s.Committed != boot.B {
			t.Errorf("without %s: %+v, %v; a commit must hold in both copies", name, s, err)
		}
		must(t, os.WriteFile(filepath.Join(dir, name), whole, 0o600))
	}
}

// What a state must not say makes it no state; what it may say beside, a newer agent's words, does not.
func TestForeignStates(t *testing.T) {
	good := `{"schema":1,"committed":"b","trial":"a","tries":2,"a":{"bootable":true},"b":{"bootable":true}}`
	for _, c := range []struct {
		name, state string
		lost        bool
	}{
		{"as written", good, false},
		{"more members, later schema", strings.Replace(good, `"schema":1`, `"schema":9,"colour":"red"`, 1), false},
		{"no JSON", "committed=b", true},
		{"empty", "", true},
		{"no schema", strings.Replace(good, `"schema":1`, `"schema":0`, 1), true},
		{"no committed slot", strings.Replace(good, `"committed":"b"`, `"committed":""`, 1), true},
		{"a slot c", strings.Replace(good, `"committed":"b"`, `"committed":"c"`, 1), true},
		{"committed slot not bootable", strings.Replace(good, `"b":{"bootable":true}`, `"b":{"bootable":false}`, 1), true},
		{"trial not bootable", strings.Replace(good, `"a":{"bootable":true}`, `"a":{}`, 1), true},
		{"trial of the committed slot", strings.Replace(good, `"trial":"a"`, `"trial":"b"`, 1), true},
		{"tries without a trial", strings.Replace(good, `"trial":"a",`, ``, 1), true},
		{"too many tries", strings.Replace(good, `"tries":2`, `"tries":8`, 1), true},
		{"negative tries", strings.Replace(good, `"tries":2`, `"tries":-1`, 1), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fastDir(t)
			writeCopy(t, dir, "boot.0", 7, []byte(c.state))
			f := open(t, dir, 1)
			s, err := f.State()
			if err != nil || s.Lost != c.lost || !c.lost && (s.Committed != boot.B || s.TriesLeft != 2) {
				t.Errorf("%+v, %v", s, err)
			}
			if slot, _ := f.Boot(); slot != boot.A { // the trial, or the last resort
				t.Errorf("slot %s was started", slot)
			}
		})
	}
}

// The sequence of the copies may wrap around under the state.
func TestSequenceWraps(t *testing.T) {
	for _, sequence := range []uint64{9, 0x7f, 0xff, 0xffff, 1<<31 - 1, 1<<32 - 1, 1<<63 - 1, 1<<64 - 1} {
		dir := fastDir(t)
		state := []byte(`{"schema":1,"committed":"a","a":{"bootable":true},"b":{}}`)
		writeCopy(t, dir, "boot.0", sequence, state)
		writeCopy(t, dir, "boot.1", sequence-1, bytes.Replace(state, []byte(`"b":{}`), []byte(`"b":{"failed":true}`), 1))
		f := open(t, dir, 1)
		for range 3 {
			must(t, f.Try(boot.B))
			for _, want := range []boot.Slot{boot.B, boot.A, boot.A} {
				if slot, err := f.Boot(); slot != want || err != nil {
					t.Fatalf("sequence %#x: slot %s, %v; want %s", sequence, slot, err, want)
				}
			}
		}
	}
}

// A running file that says nothing is no obstacle.
func TestForeignRunningFile(t *testing.T) {
	for _, line := range []string{"", "b", "b trial", "c trial\n", strings.Repeat("b", 100), "b trial\n"} {
		dir := fastDir(t)
		f := open(t, dir, 1)
		_, err := f.Boot()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "running"), []byte(line), 0o600))
		want := boot.A
		if line == "b trial\n" {
			want = boot.B
		}
		if s, err := f.State(); err != nil || s.Running != want {
			t.Errorf("%q: %+v, %v", line, s, err)
		}
		if slot, err := f.Boot(); slot != boot.A || err != nil {
			t.Errorf("%q: slot %s, %v", line, slot, err)
		}
	}
}
