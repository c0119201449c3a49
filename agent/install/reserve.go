package install

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// allocated is how many bytes of the medium a file takes.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return 0
}

// Reserve implements Device. A file grows to the image's length, and the blocks of all data are allocated, so that a full
// disk is found here.
func (s *slot) Reserve(length int64, data []Extent) error {
	if length > s.capacity {
		return fmt.Errorf("%w: the image has %d bytes, %s takes %d; choose a release with a smaller image, or enlarge the slot",
			ErrTooSmall, length, s.Name(), s.capacity)
	}
	if s.block {
		return nil
	}
	if err := s.checkSpace(data); err != nil {
		return err
	}
	before := s.size
	if length > before {
		if err := s.Truncate(length); err != nil {
			return slotError("growing the slot", err)
		}
		s.size = length
	}
	if err := s.allocate(data); err != nil {
		s.size = before
		return slotError("allocating the slot", errors.Join(err, s.Truncate(before)))
	}
	return nil
}

// checkSpace counts before anything changes. Blocks that the file has are counted for the image, also where it will have
// holes; allocate is exact.
func (s *slot) checkSpace(data []Extent) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(s.Fd()), &fs); err != nil {
		return slotError("measuring the free space for the slot", err)
	}
	info, err := s.Stat()
	if err != nil {
		return slotError("measuring the slot", err)
	}
	var need int64
	for _, e := range data {
		need += e.Length
	}
	need -= allocated(info)
	if free := int64(fs.Bavail) * int64(fs.Bsize); need > free {
		return fmt.Errorf("%w: %s needs %d more bytes, its file system has %d; free some there", ErrNoSpace, s.Name(), need, free)
	}
	return nil
}

func (s *slot) allocate(data []Extent) error {
	for _, e := range data {
		err := retryEINTR(func() error { return unix.Fallocate(int(s.Fd()), 0, e.Offset, e.Length) })
		if unsupported(err) {
			return nil // checkSpace must do
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unsupported reports that a file system or driver does not have an operation.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL)
}

func retryEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
