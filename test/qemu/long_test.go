//go:build long

package qemu

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	only = flag.String("qemu.only", "", "cut only before (n) or in the middle of (n torn) the nth write")
	most = flag.Duration("qemu.for", 40*time.Minute, "how long cuts at every write may take; what is left out then is said")
)

// fewest is how many cut points a run must have come to, on however busy a computer.
const fewest = 134

// lanes is how many devices there are at once.
const lanes = 2

// fallible is the device that falls back: one of its own, which gives up soon.
func (w *world) fallible(t *testing.T, _ *disk) *disk {
	d := w.deliver(t, "B0", 1, 20*time.Second)
	copy(d.data, bootSectors(t, w.dir, impatient))
	return d
}

// delivered is the state of the bootloader at the factory: none, so that the first start makes it.
const delivered = ""

// faults are those of the releases that a device falls back from.
func faults() []string { return []string{panics, garbage, broken, hangs, idles, offline} }

// more cuts the power at every write of an update, before it and in the middle of it, and then at random moments.
func (w *world) more(t *testing.T, bases []*disk) {
	var points, bricked, of atomic.Int64
	t.Run("every cut", func(t *testing.T) {
		for i, torn := range []bool{false, true} {
			t.Run(map[bool]string{false: "before", true: "torn"}[torn], func(t *testing.T) {
				t.Parallel()
				w.sweep(t, bases[i], torn, &points, &bricked, &of)
			})
		}
	})
	t.Logf("QEMU: %d cut points of %d, before each write of an update and in the middle of it: bricked %d", points.Load(), of.Load(), bricked.Load())
	if points.Load() < min(fewest, of.Load()) && *only == "" {
		t.Errorf("%d cut points in %v, want %d: give it longer, -qemu.for", points.Load(), *most, fewest)
	}
	t.Run("random cuts", func(t *testing.T) {
		for i := range lanes {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				w.cuts(t, bases[i], cuts{number: 25, inARow: 3 + i, within: 15 * time.Second})
			})
		}
	})
}

// sweep cuts one update at each of its writes, in an order that is random, so that a run that ends early has seen all parts of it.
func (w *world) sweep(t *testing.T, base *disk, torn bool, points, bricked, of *atomic.Int64) {
	log, began := w.commits(t, base), time.Now()
	writes, _ := count(log)
	of.Add(int64(writes))
	for _, n := range rand.New(rand.NewPCG(*seed, 2)).Perm(writes) {
		name := strings.TrimSpace(fmt.Sprint(n+1, map[bool]string{true: " torn"}[torn]))
		if *only != "" && *only != name || time.Since(began) > *most {
			continue
		}
		if err := w.survives(t, replay(base.data, log, n, torn)); err != nil {
			bricked.Add(1)
			t.Errorf("cut %s: %v\nagain: go test -tags long -v -run 'TestUpdate/every' ./test/qemu -qemu.only '%s'", name, err, name)
		}
		if points.Add(1)%50 == 0 {
			t.Logf("%d cut points so far", points.Load())
		}
	}
}

// survives says what is wrong with a disk that has lost its power once, if it does not come to the new release by itself.
func (w *world) survives(t *testing.T, d *disk) error {
	if err := w.whole(d); err != nil {
		return err
	}
	m, err := w.startsAndEnds(t, d)
	if err == nil {
		err = w.runs(d, good)
	}
	if err != nil {
		return w.keep(d, m, err)
	}
	return nil
}

// replay is base after the first n writes of log, and with the first half of the one after them if it is torn.
func replay(base []byte, log []op, n int, torn bool) *disk {
	data := bytes.Clone(base)
	for _, o := range log {
		if o.data == nil {
			continue
		}
		if n--; n < 0 {
			if torn {
				copy(data[o.off:], o.data[:len(o.data)/2])
			}
			break
		}
		copy(data[o.off:], o.data)
	}
	return newDisk(data)
}
