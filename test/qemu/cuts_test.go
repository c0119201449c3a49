package qemu

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// cuts say when the power goes.
type cuts struct {
	number int
	inARow int           // then the device is left alone, until its update has ended
	writes int           // after so many writes at most since the start; or
	within time.Duration // after so long at most
}

func (c cuts) arm(d *disk, r *rand.Rand) (disarm func()) {
	if c.writes > 0 {
		d.cut(1+r.IntN(c.writes), r.IntN(2) == 0)
		return func() {}
	}
	timer := time.AfterFunc(time.Duration(r.Int64N(int64(c.within))), d.cutNow)
	return func() { timer.Stop() }
}

// tally is what came of cuts.
type tally struct {
	cuts, torn, lost, unflushed, committed, back int
	spent                                        time.Duration
}

// cuts cuts the power again and again, and of what was not flushed loses a part. Then the device is left alone. One that has lost its
// power twice in a trial is back at the old release for good; then another begins.
func (w *world) cuts(t *testing.T, base *disk, c cuts) {
	r := rand.New(rand.NewPCG(*seed, uint64(c.inARow)))
	var sum tally
	for sum.cuts < c.number {
		if err := w.life(t, base.clone(), c, r, &sum); err != nil {
			t.Fatalf("after cut %d: %v\nagain: go test -v -run '%s' ./test/qemu -qemu.seed %d", sum.cuts, err, t.Name(), *seed)
		}
	}
	how := "in a row, each at a random write"
	if c.writes == 0 {
		how = "at random moments"
	}
	t.Logf("QEMU: %d power cuts %s, %d in its middle; %d of %d writes that were not flushed lost: bricked 0, committed %d, back at the old release %d; %.0f s of processor time",
		sum.cuts, how, sum.torn, sum.lost, sum.unflushed, sum.committed, sum.back, sum.spent.Seconds())
	if sum.lost == 0 || sum.torn == 0 && c.writes > 0 {
		t.Error("no write was lost or torn: the test is blind")
	}
}

// life is that of one device, from the direction to the end of its update.
func (w *world) life(t *testing.T, d *disk, c cuts, r *rand.Rand, sum *tally) error {
	for row := 0; ; row++ {
		disarm := func() {}
		if row < c.inARow && sum.cuts < c.number {
			disarm = c.arm(d, r)
		}
		m, err := w.startsAndEnds(t, d)
		disarm()
		sum.spent += m.spent
		lost, of := d.kill(r)
		switch {
		case err != nil && err != errPower:
			return w.keep(d, m, err)
		case err == nil && w.runs(d, good) == nil:
			sum.committed++
			return nil
		case err == nil && w.runs(d, factory) == nil:
			sum.back++
			return nil
		case err == nil:
			return w.keep(d, m, w.runs(d, good))
		}
		sum.cuts, sum.lost, sum.unflushed = sum.cuts+1, sum.lost+lost, sum.unflushed+of
		if d.torn {
			sum.torn++
		}
		if err := w.whole(d); err != nil {
			return w.keep(d, m, err)
		}
		d = d.clone()
	}
}

// startsAndEnds is a machine with a disk, until its update ends.
func (w *world) startsAndEnds(t *testing.T, d *disk) (*machine, error) {
	m := powerOn(t, d, w.starts)
	defer m.off()
	_, err := m.until(patience, end)
	return m, err
}

// keep leaves the disk of a device that did not come back for people to look at.
func (w *world) keep(d *disk, m *machine, err error) error {
	dir, kept := os.MkdirTemp("", "fairlead-qemu-")
	if kept == nil {
		kept = os.WriteFile(filepath.Join(dir, "disk"), d.data, 0o600)
	}
	return fmt.Errorf("%w\n%s\nits disk, as it is now: %s (%v)", err, m.text(), dir, kept)
}
