package install

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directAlign is what O_DIRECT may want of offsets, lengths and addresses.
const directAlign = 4096

// slot is a Device: a regular file or a block device.
type slot struct {
	*os.File             // buffered
	direct   *os.File    // past the page cache; nil where the system has no such thing
	indirect atomic.Bool // the way past the page cache turned out not to work
	block    bool
	solid    int64 // bytes at the front of the file that were allocated, without holes, when it was opened
	size     int64 // bytes that the file or device holds
	capacity int64
}

func newSlot(f *os.File, info os.FileInfo, capacity int64, readOnly bool) (*slot, error) {
	s := &slot{File: f, block: info.Mode().Type()&os.ModeDevice != 0, size: info.Size(), capacity: capacity}
	if s.block {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, fmt.Errorf("measuring %s: %w", f.Name(), err)
		}
		s.size, s.capacity = end, end
	}
	if s.capacity == 0 {
		s.capacity = s.size
	}
	if !s.block && allocated(info) >= s.size {
		s.solid = s.size
	}
	// Through /proc it is certainly the same file; a failure only means that all goes through the page cache.
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	s.direct, _ = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags|unix.O_DIRECT, 0)
	return s, nil
}

func (s *slot) Capacity() int64 { return s.capacity }

// ReadAt implements Device. What O_DIRECT cannot read (ends that are not aligned, file systems without it) is read
// through the page cache, after asking the kernel to drop those pages.
func (s *slot) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.directly("read", unix.Pread, p, off)
	if err != nil || n == len(p) {
		return n, err
	}
	off, p = off+int64(n), p[n:]
	s.uncache(off, int64(len(p)))
	m, err := s.File.ReadAt(p, off)
	return n + m, err
}

// uncache drops the pages of some bytes. The kernel keeps pages of which it is asked to drop a part.
func (s *slot) uncache(off, length int64) {
	page := int64(os.Getpagesize())
	first := off &^ (page - 1)
	last := (off + length + page - 1) &^ (page - 1)
	_ = unix.Fadvise(int(s.Fd()), first, last-first, unix.FADV_DONTNEED)
}

// directly reads or writes as much of the front of p as can go past the page cache, perhaps nothing.
func (s *slot) directly(what string, do func(fd int, p []byte, off int64) (int, error), p []byte, off int64) (int, error) {
	whole := len(p) &^ (directAlign - 1)
	if s.direct == nil || s.indirect.Load() || whole == 0 || off%directAlign != 0 ||
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlign != 0 {
		return 0, nil
	}
	done := 0
	for done < whole && done%directAlign == 0 {
		n, err := do(int(s.direct.Fd()), p[done:whole], off+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL):
			s.indirect.Store(true)
			return done, nil
		case err != nil:
			return done, &os.PathError{Op: what, Path: s.Name(), Err: err}
		case n == 0:
			return done, nil // the end of the file; the buffered way says so
		}
		done += n
	}
	return done, nil
}

// WriteAt implements Device. What cannot go past the page cache, the kernel begins to write at once, so that Sync finds
// little left to do.
func (s *slot) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > s.capacity {
		return 0, fmt.Errorf("writing %d bytes at %d of %s: %w", len(p), off, s.Name(), ErrTooSmall)
	}
	n, err := s.directly("write", unix.Pwrite, p, off)
	if err != nil || n == len(p) {
		return n, err
	}
	off, p = off+int64(n), p[n:]
	m, err := s.File.WriteAt(p, off)
	if err == nil {
		_ = unix.SyncFileRange(int(s.Fd()), off, int64(m), unix.SYNC_FILE_RANGE_WRITE)
	}
	return n + m, err
}

// Sync implements Device. The image's pages are of no use to the running system, so they are dropped.
func (s *slot) Sync() error {
	if err := s.File.Sync(); err != nil {
		return err
	}
	_ = unix.Fadvise(int(s.Fd()), 0, 0, unix.FADV_DONTNEED)
	return nil
}

func (s *slot) Close() error {
	if s.direct != nil {
		_ = s.direct.Close()
	}
	return s.File.Close()
}
