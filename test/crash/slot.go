package crash

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fairlead/fairlead/agent/install"
)

// slot is one of a Disk, as an install.Device.
type slot struct {
	disk     *Disk
	i        int
	readOnly bool
}

// Slot opens a slot.
func (d *Disk) Slot(i int, readOnly bool) install.Device { return &slot{d, i, readOnly} }

func (s *slot) name() string    { return string(rune('a' + s.i)) }
func (s *slot) Close() error    { return nil }
func (s *slot) Capacity() int64 { return int64(len(s.disk.base.slots[s.i])) * page }

func (s *slot) ReadAt(p []byte, off int64) (int, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if err := s.disk.check("read slot", s.name()); err != nil {
		return 0, err
	}
	n := min(int64(len(p)), s.Capacity()-off)
	if n <= 0 {
		return 0, io.EOF
	}
	s.disk.now.readSlot(s.i, off, p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (s *slot) WriteAt(p []byte, off int64) (int, error) {
	return s.put("write slot", off, int64(len(p)), p)
}

func (s *slot) Zero(off, length int64) error {
	_, err := s.put("zero slot", off, length, nil)
	return err
}

func (s *slot) put(what string, off, length int64, p []byte) (int, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.readOnly {
		return 0, errors.New("write to a slot that was opened to be read")
	}
	err := s.disk.check(what, s.name())
	if errors.Is(err, errShort) {
		length /= 2
	} else if err != nil {
		return 0, err
	}
	if p != nil {
		p = slices.Clone(p[:length])
	}
	o := &op{kind: opSlot, node: slotNode(s.i), off: off, length: length, data: p}
	if off%page == 0 {
		o.leaves = Leaves(p)[:len(p)/page]
	}
	s.disk.do(o)
	return int(length), err
}

func (s *slot) Reserve(length int64, _ []install.Extent) error {
	if length > s.Capacity() {
		return fmt.Errorf("%w: %d bytes", install.ErrTooSmall, length)
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.check("reserve slot", s.name())
}

func (s *slot) Sync() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.sync("sync slot", s.name(), slotNode(s.i))
}
