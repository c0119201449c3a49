package frames_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/simulator/frames"
)

const capacity = 5*frames.Block + 1234

func open(t testing.TB, dir string) *frames.Store {
	t.Helper()
	s, err := frames.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func slot(t testing.TB, s *frames.Store, path string) *frames.Slot {
	t.Helper()
	d, err := s.OpenSlot(path, frames.SlotOptions{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSlotHoldsWhatWasWritten compares a slot with plain bytes, through writes, zeros, syncs, closing and power cuts.
func TestSlotHoldsWhatWasWritten(t *testing.T) {
	t.Parallel()
	dir, runs := t.TempDir(), 0
	store := open(t, filepath.Join(dir, "store"))
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(dir, fmt.Sprint("slot", runs))
		d, now, synced := openRapid(t, store, path), make([]byte, capacity), make([]byte, capacity)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			at := rapid.Int64Range(0, capacity-1).Draw(t, "at")
			n := rapid.Int64Range(0, capacity-at).Draw(t, "length")
			switch rapid.SampledFrom([]string{"write", "write", "zero", "sync", "cut", "close", "read"}).Draw(t, "step") {
			case "write":
				p := bytes.Repeat([]byte{byte(rapid.IntRange(0, 3).Draw(t, "byte"))}, int(n))
				if got, err := d.WriteAt(p, at); err != nil || got != len(p) {
					t.Fatal(got, err)
				}
				copy(now[at:], p)
			case "zero":
				if err := d.Zero(at, n); err != nil {
					t.Fatal(err)
				}
				clear(now[at : at+n])
			case "sync":
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
				copy(synced, now)
			case "cut":
				d.Cut()
				d = openRapid(t, store, path)
				copy(now, synced)
			case "close":
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d = openRapid(t, store, path)
				copy(synced, now)
			case "read":
				p := make([]byte, n)
				if _, err := d.ReadAt(p, at); err != nil || !bytes.Equal(p, now[at:at+n]) {
					t.Fatalf("%d bytes at %d are not what was written: %v", n, at, err)
				}
				if b := d.Lend(at, int(n)); !bytes.HasPrefix(now[at:at+n], b) {
					t.Fatalf("%d bytes are lent at %d that were not written", len(b), at)
				}
			}
		}
		all := make([]byte, capacity)
		if _, err := d.ReadAt(all, 0); err != nil || !bytes.Equal(all, now) {
			t.Fatalf("the slot is not what was written: %v", err)
		}
	})
}

func openRapid(t *rapid.T, s *frames.Store, path string) *frames.Slot {
	d, err := s.OpenSlot(path, frames.SlotOptions{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func noise(seed uint64, n int) []byte {
	r, b := rand.New(rand.NewPCG(seed, 1)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestManySlotsTakeTheRoomOfOne also shows that what one slot writes does not come into another.
func TestManySlotsTakeTheRoomOfOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, image := open(t, dir), noise(1, 3*frames.Block+100)
	for i := range 200 {
		d := slot(t, store, filepath.Join(dir, fmt.Sprint("unit", i)))
		for at := 0; at < len(image); at += 10_000 {
			if _, err := d.WriteAt(image[at:min(at+10_000, len(image))], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.Blocks(); n != 4 {
		t.Errorf("%d blocks for one image of 4", n)
	}
	one, other := filepath.Join(dir, "unit1"), filepath.Join(dir, "unit2")
	d := slot(t, store, one)
	if _, err := d.WriteAt([]byte("x"), 5); err != nil {
		t.Fatal(err)
	}
	d.Close()
	a, _ := frames.Load(one)
	b, _ := frames.Load(other)
	if a.Equal(b) {
		t.Error("a write to one slot is not seen, or came into another")
	}
}

func TestStoreSurvivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	want := noise(2, 2*frames.Block+7)
	if err := os.WriteFile(image, want, 0o600); err != nil {
		t.Fatal(err)
	}
	store, path := open(t, filepath.Join(dir, "store")), filepath.Join(dir, "slot-a.img")
	c, err := store.Import(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	store.Close()
	store = open(t, filepath.Join(dir, "store"))
	if again, err := store.Import(image); err != nil || !again.Equal(c) || store.Blocks() != 3 {
		t.Errorf("the image is stored again: %v, %d blocks", err, store.Blocks())
	}
	v, err := store.OpenView(path, capacity)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(v, 0, capacity+100))
	if err != nil || !bytes.Equal(got, append(want, make([]byte, capacity-len(want))...)) {
		t.Errorf("a view of the slot holds something else: %v, %d bytes", err, len(got))
	}
}

// TestViewLends: what is lent is what was written, up to the end of the slot, and in the same memory for all that hold the same.
func TestViewLends(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, image := open(t, dir), noise(3, capacity)
	var views []*frames.View
	for i := range 2 {
		d := slot(t, store, filepath.Join(dir, fmt.Sprint(i)))
		if _, err := d.WriteAt(image, 0); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		v, err := store.OpenView(filepath.Join(dir, fmt.Sprint(i)), capacity)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	for at := int64(5); at < capacity; {
		a, b := views[0].Lend(at, capacity), views[1].Lend(at, 10)
		if len(a) == 0 || !bytes.Equal(a, image[at:][:len(a)]) || len(b) != min(10, len(a)) || &a[0] != &b[0] {
			t.Fatalf("%d and %d bytes at %d are not what was written, or not the same memory", len(a), len(b), at)
		}
		at += int64(len(a))
	}
	for _, at := range []int64{-1, capacity, capacity + frames.Block} {
		if b := views[0].Lend(at, 1); b != nil {
			t.Errorf("%d bytes at %d, where the slot has none", len(b), at)
		}
	}
}

func TestSlotRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, full := open(t, dir), false
	d, err := store.OpenSlot(filepath.Join(dir, "s"), frames.SlotOptions{Capacity: 100, Full: func() bool { return full }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Reserve(101, nil); !errors.Is(err, install.ErrTooSmall) {
		t.Errorf("a longer image: %v", err)
	}
	if _, err := d.WriteAt(make([]byte, 2), 99); !errors.Is(err, install.ErrTooSmall) {
		t.Errorf("a write over the end: %v", err)
	}
	full = true
	if err := d.Reserve(100, nil); !errors.Is(err, install.ErrNoSpace) {
		t.Errorf("a full medium: %v", err)
	}
	d.Cut()
	if err := d.Sync(); !errors.Is(err, frames.ErrPower) {
		t.Errorf("sync without power: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.map"), []byte("no map"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSlot(filepath.Join(dir, "bad"), frames.SlotOptions{}); !errors.Is(err, install.ErrIO) {
		t.Errorf("a map that is none: %v", err)
	}
	foreign := frames.Content{77}
	if err := foreign.Save(filepath.Join(dir, "foreign")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSlot(filepath.Join(dir, "foreign"), frames.SlotOptions{}); !errors.Is(err, install.ErrIO) {
		t.Errorf("a map of another store: %v", err)
	}
}

// TestStoreLargerThanIsMappedAtOnce: what is read lies in the part of the file where it was written, and what no store holds is refused.
func TestStoreLargerThanIsMappedAtOnce(t *testing.T) {
	t.Parallel()
	const blocks = 600
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	d, err := s.OpenSlot(filepath.Join(dir, "slot"), frames.SlotOptions{Capacity: blocks * frames.Block})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, frames.Block)
	for i := range blocks {
		copy(p, fmt.Sprintf("block %d", i))
		if _, err := d.WriteAt(p, int64(i)*frames.Block); err != nil {
			t.Fatal(err)
		}
	}
	for i := range blocks {
		want := fmt.Sprintf("block %d", i)
		got := make([]byte, len(want))
		if _, err := d.ReadAt(got, int64(i)*frames.Block); err != nil || string(got) != want {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := s.Begins(frames.Content{blocks + 1}, nil, 1); err == nil {
		t.Error("a block that no store holds was read")
	}
}
