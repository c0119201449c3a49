package frames

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/fairlead/fairlead/agent/install"
)

// ErrPower is what a slot says whose power was cut.
var ErrPower = errors.New("the power is off")

// maxDirty is how many blocks a slot holds in memory before it stores them.
const maxDirty = 16

// Slot is an open slot. It implements install.Device.
type Slot struct {
	store    *Store
	path     string
	capacity int64
	full     func() bool

	mu    sync.Mutex
	now   Content
	dirty map[int]*[Block]byte // that are being written
	saved bool                 // what it holds is on disk
	cut   bool
}

var _ install.Device = (*Slot)(nil)

// SlotOptions describe a slot.
type SlotOptions struct {
	Capacity int64       // bytes of the longest image
	Full     func() bool // whether the medium has no room; nil for never
}

// OpenSlot opens the slot at path. A slot is opened once at a time; nothing is asked of what is there but its map.
func (s *Store) OpenSlot(path string, o SlotOptions) (*Slot, error) {
	now, err := s.load(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", install.ErrIO, err)
	}
	return &Slot{store: s, path: path, capacity: o.Capacity, full: o.Full, now: now, saved: now != nil, dirty: map[int]*[Block]byte{}}, nil
}

// Capacity implements install.Device.
func (d *Slot) Capacity() int64 { return d.capacity }

// Reserve implements install.Device.
func (d *Slot) Reserve(length int64, _ []install.Extent) error {
	if length > d.capacity {
		return fmt.Errorf("%w: the image has %d bytes, the slot takes %d", install.ErrTooSmall, length, d.capacity)
	}
	if d.full != nil && d.full() {
		return fmt.Errorf("%w: the medium of %s is full (simulated)", install.ErrNoSpace, d.path)
	}
	return nil
}

// ReadAt implements install.Device.
func (d *Slot) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return 0, ErrPower
	}
	short := int64(len(p)) > d.capacity-off
	if short {
		p = p[:max(d.capacity-off, 0)]
	}
	err := pieces(int64(len(p)), off, func(block int, at int64, from, to int64) error {
		return d.readBlock(block, p[from:to], at)
	})
	if err == nil && short {
		err = io.EOF
	}
	return len(p), err
}

// Lend is bytes of the slot from off on, n or fewer, as they lie in the store; none where something is still being written.
func (d *Slot) Lend(off int64, n int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut || d.dirty[int(off/Block)] != nil {
		return nil
	}
	return d.store.lendOf(d.now, off, n, d.capacity)
}

// pieces cuts length bytes at off where blocks end: bytes from to to lie at offset at of a block.
func pieces(length, off int64, do func(block int, at, from, to int64) error) error {
	for from := int64(0); from < length; {
		at := (off + from) % Block
		to := min(length, from+Block-at)
		if err := do(int((off+from)/Block), at, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (d *Slot) readBlock(block int, p []byte, at int64) error {
	if buf := d.dirty[block]; buf != nil {
		copy(p, buf[at:])
		return nil
	}
	return d.store.read(d.now.at(block), p, at)
}

// WriteAt implements install.Device.
func (d *Slot) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return 0, ErrPower
	}
	if off < 0 || off+int64(len(p)) > d.capacity {
		return 0, fmt.Errorf("%w: writing %d bytes at %d of a slot of %d", install.ErrTooSmall, len(p), off, d.capacity)
	}
	err := pieces(int64(len(p)), off, func(block int, at, from, to int64) error { return d.writeBlock(block, p[from:to], at) })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *Slot) writeBlock(block int, p []byte, at int64) error {
	if len(p) == Block {
		return d.put(block, p)
	}
	buf := d.dirty[block]
	if buf == nil {
		if len(d.dirty) >= maxDirty {
			if err := d.flush(); err != nil {
				return err
			}
		}
		var spare bool
		if buf, spare = d.store.spare.Get().(*[Block]byte); !spare {
			buf = new([Block]byte)
		}
		if err := d.store.read(d.now.at(block), buf[:], 0); err != nil {
			return err
		}
		d.dirty[block] = buf
	}
	copy(buf[at:], p)
	return nil
}

// put stores a whole block.
func (d *Slot) put(block int, p []byte) error {
	n, err := d.store.put(p, place{block, d.now.at(block)})
	if err != nil {
		return err
	}
	if block >= len(d.now) {
		d.now = append(d.now, make(Content, block+1-len(d.now))...)
	}
	if d.now[block] != n {
		d.now[block], d.saved = n, false
	}
	delete(d.dirty, block)
	return nil
}

func (d *Slot) flush() error {
	for block, buf := range d.dirty {
		if err := d.put(block, buf[:]); err != nil {
			return err
		}
		d.store.spare.Put(buf)
	}
	return nil
}

// Zero implements install.Device.
func (d *Slot) Zero(off, length int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return ErrPower
	}
	return pieces(min(length, d.capacity-off), off, func(block int, at, from, to int64) error {
		if to-from == Block {
			delete(d.dirty, block)
			if d.now.at(block) != 0 {
				d.now[block], d.saved = 0, false
			}
			return nil
		}
		if d.dirty[block] == nil && d.now.at(block) == 0 {
			return nil
		}
		return d.writeBlock(block, d.store.zeros[:to-from], at)
	})
}

// Sync implements install.Device: what was written so far survives a cut.
func (d *Slot) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return ErrPower
	}
	return d.save()
}

// save keeps what the slot holds, with the lock held.
func (d *Slot) save() error {
	if err := d.flush(); err != nil || d.saved {
		return err
	}
	err := d.now.Save(d.path)
	d.saved = err == nil
	return err
}

// Content is what the slot holds now.
func (d *Slot) Content() (Content, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.flush()
	return slices.Clone(d.now), err
}

// Cut cuts the power: what was not synced is lost, and nothing works any more.
func (d *Slot) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut, d.dirty, d.now = true, nil, nil
}

// Close implements install.Device. What was not synced is kept, as a file system would.
func (d *Slot) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil
	}
	if err := d.save(); err != nil {
		return err
	}
	d.cut = true
	return nil
}
