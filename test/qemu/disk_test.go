package qemu

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// op is a write, or a flush if it has no data.
type op struct {
	off  int64
	data []byte
}

// disk is a medium with a volatile cache. It is shared by the server and the test.
type disk struct {
	mu    sync.Mutex
	data  []byte
	log   []op
	cache []op // writes that were not flushed, with the bytes that were there before

	writes int // so far
	cutAt  int // power goes at the write of this number, from 1; 0: never
	torn   bool
	dead   chan struct{} // closed when the power has gone
	trace  []access      // of the start; nil if nobody wants it
}

func newDisk(data []byte) *disk { return &disk{data: data, dead: make(chan struct{})} }

// clone is the same medium, in another machine.
func (d *disk) clone() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return newDisk(bytes.Clone(d.data))
}

// cut has the power go at the nth write from now, before it or in its middle.
func (d *disk) cut(n int, torn bool) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt, d.torn = d.writes+n, torn
	return d
}

func (d *disk) isDead() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

// record begins the trace of a start.
func (d *disk) record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace = []access{}
}

func (d *disk) read(p []byte, off int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isDead() || off < 0 || off+int64(len(p)) > int64(len(d.data)) {
		return false
	}
	copy(p, d.data[off:])
	if d.trace != nil { // view copies a partition, but there are few of these
		d.trace = append(d.trace, access{op: op{off, bytes.Clone(view(d.data, timeless(d.data), off, len(p)))}})
	}
	return true
}

// write reports whether the machine still has power.
func (d *disk) write(p []byte, off int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isDead() || off < 0 || off+int64(len(p)) > int64(len(d.data)) {
		return false
	}
	d.writes++
	if d.writes == d.cutAt {
		if d.torn {
			d.put(p[:len(p)/2], off)
		}
		close(d.dead)
		return false
	}
	d.put(p, off)
	if d.trace != nil {
		d.trace = append(d.trace, access{op{off, bytes.Clone(p)}, true})
	}
	return true
}

func (d *disk) put(p []byte, off int64) {
	d.log = append(d.log, op{off, bytes.Clone(p)})
	d.cache = append(d.cache, op{off, bytes.Clone(d.data[off:][:len(p)])})
	copy(d.data[off:], p)
}

func (d *disk) flush() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isDead() {
		return false
	}
	d.log, d.cache = append(d.log, op{}), nil
	return true
}

// cutNow has the power go now.
func (d *disk) cutNow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isDead() {
		close(d.dead)
	}
}

// kill takes the power away now, and of the writes that were not flushed about half. It returns how many of how many were lost.
func (d *disk) kill(r *rand.Rand) (lost, of int) {
	d.cutNow()
	d.mu.Lock()
	defer d.mu.Unlock()
	type kept struct {
		op
		keep bool
	}
	var all []kept
	for _, o := range slices.Backward(d.cache) {
		all = append(all, kept{op{o.off, bytes.Clone(d.data[o.off:][:len(o.data)])}, r.IntN(2) == 0})
		copy(d.data[o.off:], o.data)
	}
	for _, o := range slices.Backward(all) {
		if o.keep {
			copy(d.data[o.off:], o.data)
		} else {
			lost++
		}
	}
	return lost, len(all)
}

// count counts writes and flushes.
func count(log []op) (writes, flushes int) {
	for _, o := range log {
		if o.data == nil {
			flushes++
		} else {
			writes++
		}
	}
	return writes, flushes
}

func (o op) String() string {
	return fmt.Sprintf("%d bytes at %d (%s)", len(o.data), o.off, partOf(o.off))
}
