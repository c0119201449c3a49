package install

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

// fragileDevice is a slot on a medium with a volatile cache. At one operation the power fails: the medium keeps what was
// synced, and of the rest what chance decides, whole or torn; the journal keeps what it holds at that moment.
type fragileDevice struct {
	mu      sync.Mutex
	medium  []byte      // what would be there after a power cut
	now     []byte      // what reads see
	pending []pendingOp // what was written since the last sync, in order
	rnd     *rand.Rand
	journal string

	cut      int // the operation at which the power fails
	ops      int
	survived []byte // the medium afterwards; nil while there is power
	saved    string // copy of the journal
}

func newFragile(t *testing.T, medium []byte, rnd *rand.Rand, cut int, journal string) *fragileDevice {
	return &fragileDevice{medium: medium, now: bytes.Clone(medium), rnd: rnd, cut: cut, journal: journal, saved: fastDir(t)}
}

type pendingOp struct {
	off   int64
	bytes []byte
}

var errNoPower = errors.New("no power")

// op reports whether there is still power for one more operation.
func (d *fragileDevice) op() bool {
	if d.ops == d.cut {
		d.survived = bytes.Clone(d.medium)
		for _, p := range d.pending {
			switch d.rnd.IntN(3) {
			case 0:
				copy(d.survived[p.off:], p.bytes)
			case 1:
				copy(d.survived[p.off:], p.bytes[:d.rnd.IntN(len(p.bytes)/512+1)*512])
			}
		}
		if err := os.CopyFS(d.saved, os.DirFS(d.journal)); err != nil {
			panic(err)
		}
	}
	d.ops++
	return d.survived == nil
}

func (d *fragileDevice) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending = append(d.pending, pendingOp{off, bytes.Clone(p)})
	copy(d.now[off:], p)
	if !d.op() {
		return 0, errNoPower
	}
	return len(p), nil
}

func (d *fragileDevice) Zero(off, length int64) error {
	_, err := d.WriteAt(make([]byte, length), off)
	return err
}

func (d *fragileDevice) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.op() {
		return errNoPower
	}
	for _, p := range d.pending {
		copy(d.medium[p.off:], p.bytes)
	}
	d.pending = nil
	if !d.op() {
		return errNoPower
	}
	return nil
}

func (d *fragileDevice) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.survived != nil {
		return 0, errNoPower
	}
	return bytes.NewReader(d.now).ReadAt(p, off)
}

func (d *fragileDevice) Capacity() int64                        { return int64(len(d.medium)) }
func (d *fragileDevice) Reserve(length int64, _ []Extent) error { return nil }
func (d *fragileDevice) Close() error                           { return nil }

// The power fails at each operation, and once more in the recovery. What the journal calls durable is durable, is not
// fetched again, and the image gets whole.
func TestPowerCutAnywhere(t *testing.T) {
	rel := makeRelease(t, testImage(11, 2))
	cuts, kept := 0, 0
	for cut := 0; ; cut++ {
		for seed := range uint64(3) {
			rnd := rand.New(rand.NewPCG(seed, uint64(cut)))
			d := newFragile(t, bytes.Repeat([]byte{0xA5}, len(rel.image)+testFrame), rnd, cut, fastDir(t))
			if _, err := Run(t.Context(), plan(t, &memorySource{release: rel}, d, d.journal)); err == nil {
				if cuts < 20 || kept == 0 {
					t.Errorf("%d cuts, %d frames kept: the test is blind", cuts, kept)
				}
				return
			}
			cuts++
			kept += recoverFrom(t, rel, newFragile(t, d.survived, rnd, rnd.IntN(20), d.saved))
		}
	}
}

// recoverFrom resumes after a cut, is cut again if there is enough to do, and resumes to the end.
func recoverFrom(t *testing.T, rel release, d *fragileDevice) int {
	t.Helper()
	kept := max(journaled(t, d.journal), 0)
	for i := range kept {
		if f := rel.head.Frame(i); !bytes.Equal(d.medium[f.At:f.At+f.Length], rel.image[f.At:f.At+f.Length]) {
			t.Fatalf("frame %d is not durable, the journal says so of %d", i, kept)
		}
	}
	s := &memorySource{release: rel}
	res, err := Run(t.Context(), plan(t, s, d, d.journal))
	for _, i := range s.framesAsked() {
		if i < kept {
			t.Fatalf("frame %d was fetched again, %d were durable", i, kept)
		}
	}
	if res.Healed != 0 {
		t.Fatalf("%d frames were healed: the journal said too much", res.Healed)
	}
	if err != nil {
		if d.survived == nil {
			t.Fatal(err)
		}
		return kept + recoverFrom(t, rel, newFragile(t, d.survived, d.rnd, -1, d.saved))
	}
	if !bytes.Equal(d.now[:len(rel.image)], rel.image) || len(d.pending) != 0 {
		t.Fatal("the slot does not hold the image, durably")
	}
	return kept
}
