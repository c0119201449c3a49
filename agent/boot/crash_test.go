package boot_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
)

// writeCopy writes one copy of the state as package durable documents it.
func writeCopy(t testing.TB, dir, name string, sequence uint64, payload []byte) {
	t.Helper()
	b := []byte("\x89FLS\r\n\x1a\x01")
	b = binary.LittleEndian.AppendUint64(b, sequence)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
}

// steps are everything that changes the state, each with what must come before it.
var steps = []struct {
	name   string
	before func(t testing.TB, f *boot.File)
	step   func(f *boot.File)
}{
	{"first boot", func(testing.TB, *boot.File) {}, boots},
	{"forbid", booted, func(f *boot.File) { _ = f.Forbid(boot.B) }},
	{"try", booted, func(f *boot.File) { _ = f.Try(boot.B) }},
	{"boot the trial", tried, boots},
	{"commit", trying, func(f *boot.File) { _ = f.Commit(boot.B) }},
	{"cancel", trying, func(f *boot.File) { _ = f.Cancel() }},
	{"fall back", trying, boots},
}

func boots(f *boot.File) { _, _ = f.Boot() }

func booted(t testing.TB, f *boot.File) {
	_, err := f.Boot()
	must(t, err)
}

func tried(t testing.TB, f *boot.File) {
	booted(t, f)
	must(t, f.Try(boot.B))
}

func trying(t testing.TB, f *boot.File) {
	tried(t, f)
	booted(t, f)
}

// snapshot reads all files of a folder.
func snapshot(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	files := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		files[e.Name()] = b
	}
	return files
}

func restore(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := fastDir(t)
	for name, b := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return dir
}

// A medium may keep any front of what was being written to a file, zeros in its place, or something else. Whatever it
// keeps of one step, the device starts, and its state is the one from before the step or the one from after it.
func TestTornWrites(t *testing.T) {
	for _, c := range steps {
		t.Run(c.name, func(t *testing.T) {
			dir := fastDir(t)
			f := open(t, dir, 1)
			c.before(t, f)
			before := snapshot(t, dir)
			oldState, err := f.State()
			must(t, err)
			c.step(f)
			after := snapshot(t, dir)
			newState, err := f.State()
			must(t, err)
			files, torn := before, 0
			for _, name := range inOrder(before, after) {
				whole := after[name]
				for n := range len(whole) {
					zeros := append(slices.Clone(whole[:n]), make([]byte, len(whole)-n)...)
					for _, kept := range [][]byte{whole[:n], zeros} {
						torn++
						crashed := maps.Clone(files)
						crashed[name], crashed[".tmp-boot"] = kept, whole[:n]
						startsAfter(t, restore(t, crashed), c.name == "first boot", oldState, newState)
					}
				}
				files = maps.Clone(files)
				files[name] = whole
			}
			if torn < 20 {
				t.Errorf("%d torn writes: the test is blind", torn)
			}
		})
	}
}

// inOrder lists the files that a step changed as it changed them: the copies by their sequence, then what runs.
func inOrder(before, after map[string][]byte) []string {
	var names []string
	for name, b := range after {
		if !slices.Equal(before[name], b) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if a == "running" || b == "running" {
			return strings.Compare(a, b)
		}
		return bytes.Compare(after[a][8:9], after[b][8:9])
	})
	return names
}

// startsAfter checks a device after a crash, and its next start. Only a device that never had a second copy may lose its
// state; it starts slot a then, which is all that it has.
func startsAfter(t *testing.T, dir string, first bool, states ...boot.State) {
	t.Helper()
	f := open(t, dir, 1)
	s, err := f.State()
	if err != nil && strings.Contains(err.Error(), "may run on trial") { // nobody can say; after the next start, somebody can
		slot, err := f.Boot()
		if s, stateErr := f.State(); err != nil || stateErr != nil || s.Running != slot {
			t.Fatalf("slot %s was started, %v; then %+v, %v", slot, err, s, stateErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	running := s.Running
	ok := slices.ContainsFunc(states, func(want boot.State) bool {
		want.Running = running // its file is one of those that a crash may have left old
		return s == want
	})
	if !ok && !s.Lost {
		t.Fatalf("state %+v, want one of %+v", s, states)
	}
	slot, err := f.Boot()
	if s.Lost {
		if !first || slot != boot.A {
			t.Fatalf("the state was lost, slot %s, %v", slot, err)
		}
		return
	}
	want := s.Committed
	if s.Trial != "" && s.TriesLeft > 0 {
		want = s.Trial
	}
	if slot != want || err != nil {
		t.Fatalf("slot %s was started, %v; want %s of %+v", slot, err, want, s)
	}
}
