package qemu

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var seed = flag.Uint64("qemu.seed", 1, "seed of everything random")

// good is the release that works.
const good = "2.0.0"

// TestUpdate: the real agent takes a real update over the network from the real service, on a disk that GRUB and Linux start: it
// commits; it comes through power cuts; it falls back from releases that do not work.
func TestUpdate(t *testing.T) {
	w := newWorld(t)
	if w == nil {
		return
	}
	w.publish(t, good, healthy)
	var bases []*disk
	for n := range lanes {
		bases = append(bases, w.deliver(t, fmt.Sprintf("S%d", n), patient))
	}
	must(t, w.site.Direct(t.Context(), good))
	writes := 0
	t.Run("commits", func(t *testing.T) { writes, _ = count(w.commits(t, bases[0])) })
	if writes == 0 {
		return
	}
	t.Run("cuts in a row", func(t *testing.T) { w.cuts(t, bases[0], cuts{number: 20, inARow: 20, writes: writes / 5}) })
	w.more(t, bases)
	t.Run("falls back", w.fallsBack)
	t.Logf("%d starts, and %d that went on from one of %d known ones, %d MiB", w.starts.real, w.starts.saved, len(w.starts.all), w.starts.bytesOf()>>20)
}

// commits records one update, from the direction to the commit.
func (w *world) commits(t *testing.T, base *disk) []op {
	d, began := base.clone(), time.Now()
	m := powerOn(t, d, w.starts)
	defer m.off()
	for _, state := range []string{"downloading", "installing", "rebooting", "trying", "committed, connected"} {
		m.wait(patience, "FL status: "+state)
	}
	took := time.Since(began)
	m.off()
	must(t, w.runs(d, good))
	writes, flushes := count(d.log)
	t.Logf("QEMU: one update by MQTT, from power on to the commit: %d writes, %d flushes, 2 starts in %.0f s, %.0f s of processor time",
		writes, flushes, took.Seconds(), m.spent.Seconds())
	return d.log
}

// end is a line with the end of an update.
func end(l string) bool {
	for _, state := range []string{"committed", "rolled_back", "failed", "rejected"} {
		if has("FL status: " + state + ", connected")(l) {
			return true
		}
	}
	return false
}

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

// fallsBack directs a device to releases that do not work, one after the other, and looks how it comes back by itself.
func (w *world) fallsBack(t *testing.T) {
	d := w.deliver(t, "B0", impatient)
	for i, fault := range faults() {
		version := fmt.Sprintf("3.%d.0", i)
		w.publish(t, version, fault)
		t.Run(fault, func(t *testing.T) {
			d = d.clone()
			took := w.fallBack(t, d, version)
			t.Logf("QEMU: falls back by itself from a bad image (%s) in %.0f s", fault, took.Seconds())
			if took > time.Minute {
				t.Errorf("it takes %v, more than a minute", took)
			}
		})
	}
}

// fallBack is how long a device takes from the first start of a bad release to the old one that works.
func (w *world) fallBack(t *testing.T, d *disk, version string) time.Duration {
	m := powerOn(t, d, w.starts)
	defer m.off()
	m.wait(patience, "FL status", "connected")
	must(t, w.site.Direct(t.Context(), version))
	m.wait(patience, "FL status: rebooting")
	began := m.wait(patience, "FL start b").at
	ended := m.wait(patience, "FL status: rolled_back, connected").at
	m.off()
	must(t, w.runs(d, factory))
	return ended.Sub(began)
}
