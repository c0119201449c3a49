package install

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	zeroChunk  = 256 << 10
	blkZeroOut = 0x127f // BLKZEROOUT, _IO(0x12, 127)
	sectorSize = 512
)

// Zero implements Device. A file gets holes; one that had none keeps its blocks, so that its room stays its own. What can
// do neither, and a block device, is read first and written only where it is not zero.
func (s *slot) Zero(offset, length int64) error {
	if offset < 0 || offset+length > s.capacity {
		return fmt.Errorf("zeroing %d bytes at %d of %s: %w", length, offset, s.Name(), ErrTooSmall)
	}
	if s.block {
		return s.zeroChunks(offset, length)
	}
	keep := min(max(s.solid-offset, 0), length)
	if err := s.zeroFile(unix.FALLOC_FL_ZERO_RANGE, offset, keep); err != nil {
		return err
	}
	return s.zeroFile(unix.FALLOC_FL_PUNCH_HOLE, offset+keep, length-keep)
}

func (s *slot) zeroFile(how uint32, offset, length int64) error {
	if length == 0 {
		return nil
	}
	err := retryEINTR(func() error {
		return unix.Fallocate(int(s.Fd()), how|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	})
	if unsupported(err) {
		return s.zeroChunks(offset, length)
	}
	return err
}

func (s *slot) zeroChunks(offset, length int64) error {
	buf, err := newBuffers(1, zeroChunk)
	if err != nil {
		return err
	}
	defer buf.close()
	chunk := buf.take()
	for length > 0 {
		n := min(length, zeroChunk-offset%zeroChunk)
		if err := s.zeroChunk(chunk[:n], offset); err != nil {
			return err
		}
		offset, length = offset+n, length-n
	}
	return nil
}

func (s *slot) zeroChunk(chunk []byte, offset int64) error {
	if n, _ := s.ReadAt(chunk, offset); n == len(chunk) && isZero(chunk) {
		return nil
	}
	if s.block && offset%sectorSize == 0 && len(chunk)%sectorSize == 0 {
		if err := s.zeroOut(offset, int64(len(chunk))); !unsupported(err) {
			return err
		}
	}
	clear(chunk)
	_, err := s.WriteAt(chunk, offset)
	return err
}

// zeroOut has the device itself write zeros, which is faster where it can, and drops the pages that say otherwise.
func (s *slot) zeroOut(offset, length int64) error {
	span := [2]uint64{uint64(offset), uint64(length)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, s.Fd(), blkZeroOut, uintptr(unsafe.Pointer(&span)))
	if errno != 0 {
		return errno
	}
	return nil
}

// isZero compares each byte with the one before it, and the first with zero.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && string(p[1:]) == string(p[:len(p)-1])
}
