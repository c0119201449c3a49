package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mustSave(t testing.TB, dir, data string) {
	t.Helper()
	if err := SavePair(dir, "state", []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func checkLoad(t testing.TB, dir, want string) {
	t.Helper()
	if got, err := LoadPair(dir, "state"); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// setCopy writes a copy as it is, or removes it if b is nil.
func setCopy(t testing.TB, dir string, i int, b []byte) {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("state.%d", i))
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if b != nil && err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPairKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadPair(dir, "state"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first save: %v", err)
	}
	for _, data := range []string{"one", "two", "three", "", strings.Repeat("x", MaxPair)} {
		mustSave(t, dir, data)
		checkLoad(t, dir, data)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"state.0", "state.1"}) {
		t.Errorf("folder holds %q", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "state.0")); err != nil || info.Mode() != 0o600 {
		t.Errorf("copy is %v, %v", info.Mode(), err)
	}
}

func TestPairsOfOneFolder(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, dir, "one")
	if err := SavePair(dir, "floors", []byte("two")); err != nil {
		t.Fatal(err)
	}
	checkLoad(t, dir, "one")
}

// The layout on disk is a promise to older and newer releases.
func TestPairBytes(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, dir, "a")
	mustSave(t, dir, "bc")
	checkFile(t, filepath.Join(dir, "state.0"), "\x89FLS\r\n\x1a\x01"+"\x01\x00\x00\x00\x00\x00\x00\x00"+"\x01\x00\x00\x00"+"a"+"\xc1\x5a\x60\x44")
	checkFile(t, filepath.Join(dir, "state.1"), "\x89FLS\r\n\x1a\x01"+"\x02\x00\x00\x00\x00\x00\x00\x00"+"\x02\x00\x00\x00"+"bc"+"\xd3\x6a\x1b\xed")
}

func TestPairSurvivesABadCopy(t *testing.T) {
	older, newest := encodePair(8, []byte("older")), encodePair(9, []byte("newest"))
	bad := map[string][]byte{
		"missing":          nil,
		"empty":            {},
		"zeros":            make([]byte, len(newest)),
		"garbage":          bytes.Repeat([]byte{0xff}, 1000),
		"trailing byte":    append(bytes.Clone(newest), 0),
		"twice":            append(bytes.Clone(newest), newest...),
		"too long":         make([]byte, MaxPair+1000),
		"other layout":     bytes.Replace(newest, []byte{0x1a, 1}, []byte{0x1a, 2}, 1),
		"length of 4 GiB":  slices.Concat(newest[:16], []byte{0xff, 0xff, 0xff, 0xff}, newest[20:]),
		"bad and claiming": slices.Concat(newest[:8], bytes.Repeat([]byte{0xff}, 8), newest[16:]),
	}
	lying := bytes.Clone(newest[:len(newest)-4])
	lying[16]--
	bad["length of another payload"] = binary.LittleEndian.AppendUint32(lying, checksum(lying))
	for name, b := range bad {
		for i := range 2 {
			t.Run(fmt.Sprintf("%s, copy %d", name, i), func(t *testing.T) {
				dir := t.TempDir()
				setCopy(t, dir, i, b)
				_, err := LoadPair(dir, "state")
				if b == nil && !errors.Is(err, fs.ErrNotExist) || b != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("alone: %v", err)
				}
				setCopy(t, dir, 1-i, older)
				checkLoad(t, dir, "older")
				mustSave(t, dir, "next")
				checkLoad(t, dir, "next")
				// The good copy was not the one to be replaced.
				setCopy(t, dir, i, nil)
				checkLoad(t, dir, "older")
			})
		}
	}
}

func TestPairSurvivesACopyTornAnywhere(t *testing.T) {
	older, newest := encodePair(8, []byte("older")), encodePair(9, []byte("newest"))
	dir := t.TempDir()
	setCopy(t, dir, 1, older)
	for n := range newest {
		flipped := bytes.Clone(newest)
		flipped[n] ^= 4
		zeroed := append(bytes.Clone(newest[:n]), make([]byte, len(newest)-n)...)
		mixed := append(bytes.Clone(newest[:n]), older[min(n, len(older)):]...)
		for name, b := range map[string][]byte{"cut off": newest[:n], "flipped": flipped, "zeros": zeroed, "half old": mixed} {
			setCopy(t, dir, 0, b)
			if got, err := LoadPair(dir, "state"); err != nil || string(got) != "older" {
				t.Errorf("%s at %d: got %q, %v", name, n, got, err)
			}
		}
	}
}

func TestPairWithTwoBadCopies(t *testing.T) {
	dir := t.TempDir()
	setCopy(t, dir, 0, []byte("x"))
	setCopy(t, dir, 1, []byte("y"))
	if _, err := LoadPair(dir, "state"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
	mustSave(t, dir, "a")
	checkLoad(t, dir, "a")
	mustSave(t, dir, "b")
	checkLoad(t, dir, "b")
	setCopy(t, dir, 1, nil)
	checkLoad(t, dir, "a")
}

func TestPairSequenceWraps(t *testing.T) {
	for _, last := range []uint64{0, 9, math.MaxInt8, math.MaxUint8, math.MaxUint16, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
		for i := range 2 {
			dir := t.TempDir()
			setCopy(t, dir, i, encodePair(last, []byte("newest")))
			setCopy(t, dir, 1-i, []byte("not good"))
			checkLoad(t, dir, "newest")
			setCopy(t, dir, 1-i, encodePair(last-1, []byte("older")))
			checkLoad(t, dir, "newest")
			for _, data := range []string{"one", "two", "three"} {
				mustSave(t, dir, data)
				checkLoad(t, dir, data)
			}
		}
	}
}

// What a crash can leave at each step of a save, and a save after it.
func TestPairAfterACrash(t *testing.T) {
	older, newest, next := encodePair(4, []byte("older")), encodePair(5, []byte("newest")), encodePair(6, []byte("next"))
	temps := map[string][]byte{"no temporary": nil, "empty temporary": {}, "half a temporary": next[:15], "whole temporary": next, "long temporary": append(bytes.Clone(next), next...)}
	replaced := map[string][]byte{"not replaced": older, "replaced": next, "replaced by nothing": {}, "replaced by half": next[:22], "lost": nil}
	for tempName, temp := range temps {
		for name, b := range replaced {
			for i := range 2 {
				t.Run(fmt.Sprintf("%s, %s, copy %d", tempName, name, i), func(t *testing.T) {
					dir := t.TempDir()
					setCopy(t, dir, i, b)
					setCopy(t, dir, 1-i, newest)
					if temp != nil {
						if err := os.WriteFile(filepath.Join(dir, ".tmp-state"), temp, 0o600); err != nil {
							t.Fatal(err)
						}
					}
					want := "newest"
					if name == "replaced" {
						want = "next"
					}
					checkLoad(t, dir, want)
					mustSave(t, dir, "after")
					checkLoad(t, dir, "after")
					if got := names(t, dir); !slices.Equal(got, []string{"state.0", "state.1"}) {
						t.Errorf("folder holds %q", got)
					}
				})
			}
		}
	}
}

// A copy that cannot be looked at may be the newest: no older one may pass for
// it, and none may be overwritten.
func TestPairDoesNotGuess(t *testing.T) {
	for i := range 2 {
		dir := t.TempDir()
		setCopy(t, dir, 1-i, encodePair(1, []byte("older")))
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("state.%d", i)), 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadPair(dir, "state"); err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("load: %q, %v", got, err)
		}
		if err := SavePair(dir, "state", []byte("new")); err == nil {
			t.Error("saved")
		}
		setCopy(t, dir, i, nil)
		checkLoad(t, dir, "older")
	}
}

func TestSavePairRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"", ".", "..", ".tmp-x", "a/b", "/a", "../a"} {
		if err := SavePair(dir, name, nil); err == nil {
			t.Errorf("name %q is accepted", name)
		}
		if _, err := LoadPair(dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("name %q is looked for: %v", name, err)
		}
	}
	if err := SavePair(dir, "state", make([]byte, MaxPair+1)); err == nil {
		t.Error("payload above the limit is saved")
	}
	if err := SavePair(filepath.Join(dir, "none"), "state", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("folder holds %q", got)
	}
}

// Read-back finds a medium that took other bytes than it was given.
func TestReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	want := encodePair(1, []byte("data"))
	for name, b := range map[string][]byte{"short": want[:5], "long": append(bytes.Clone(want), 0), "other": encodePair(1, []byte("date")), "empty": {}} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if (Disk{}).readBack(path, want) == nil {
			t.Errorf("%s bytes pass", name)
		}
	}
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Disk{}).readBack(path, want); err != nil {
		t.Error(err)
	}
}

func FuzzLoadPair(f *testing.F) {
	one, two := encodePair(1, []byte("one")), encodePair(2, []byte("two"))
	f.Add(one, two)
	f.Add(two, one)
	f.Add(one, one)
	f.Add(one[:10], two)
	f.Add([]byte{}, []byte{})
	f.Add(encodePair(math.MaxUint64, []byte("last")), encodePair(0, []byte("first")))
	f.Add(encodePair(0, nil), encodePair(1<<63, nil))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dir := t.TempDir()
		setCopy(t, dir, 0, append([]byte{}, a...))
		setCopy(t, dir, 1, append([]byte{}, b...))
		got, err := LoadPair(dir, "state")
		_, payloadA, okA := decodePair(a)
		_, payloadB, okB := decodePair(b)
		if (err == nil) != (okA || okB) || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("copies are good: %v, %v, but load says %v", okA, okB, err)
		}
		if err == nil && !(okA && bytes.Equal(got, payloadA)) && !(okB && bytes.Equal(got, payloadB)) {
			t.Fatalf("loaded %q, which is in neither copy", got)
		}
		mustSave(t, dir, "after")
		checkLoad(t, dir, "after")
	})
}

// The memory of a process at address 0 is to a reader what a bad sector is.
func TestPairSurvivesAnUnreadableSector(t *testing.T) {
	dir := t.TempDir()
	setCopy(t, dir, 1, encodePair(1, []byte("older")))
	if err := os.Symlink("/proc/self/mem", filepath.Join(dir, "state.0")); err != nil {
		t.Fatal(err)
	}
	checkLoad(t, dir, "older")
	mustSave(t, dir, "new")
	checkLoad(t, dir, "new")
}
