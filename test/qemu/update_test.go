package qemu

import (
	"flag"
	"fmt"
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
	var bases []*disk
	for n := range lanes {
		bases = append(bases, w.deliver(t, fmt.Sprintf("S%d", n), 2, unhurried))
	}
	t.Run("falls back", func(t *testing.T) { w.fallsBack(t, w.fallible(t, bases[0])) })
	w.publish(t, good, healthy)
	must(t, w.site.Direct(t.Context(), good))
	writes := 0
	t.Run("commits", func(t *testing.T) { writes, _ = count(w.commits(t, bases[0])) })
	if writes == 0 {
		return
	}
	t.Run("cuts in a row", func(t *testing.T) { w.cuts(t, bases[0], cuts{number: 20, inARow: 20, writes: writes / 5}) })
	w.more(t, bases)
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
