package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
)

// Base is a slot that is only read, to be patched. It may be mounted, and may change at any time.
type Base struct{ f *os.File }

// OpenBase opens a slot as a base. ErrIO if it cannot be opened, is neither file nor block device, or is a file that is
// empty.
func OpenBase(path string) (*Base, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Type() != 0 && info.Mode().Type() != os.ModeDevice {
		err = fmt.Errorf("it is neither a regular file nor a block device (%s)", info.Mode().Type())
	}
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, slotError("opening the base "+path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, slotError("opening the base", err)
	}
	return &Base{f}, nil
}

// ReadAt is io.ReaderAt.
func (b *Base) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

// Close closes the base. What was read of it is of no use to the running system, so the kernel may forget it.
func (b *Base) Close() error {
	_ = unix.Fadvise(int(b.f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return b.f.Close()
}

// Identify tells which of some images a base begins with, by reading it once; the zero Blob if none. It takes as long as
// SHA-256 takes for the longest of them.
func Identify(ctx context.Context, base io.ReaderAt, images []firmware.Blob) (firmware.Blob, error) {
	images = slices.SortedFunc(slices.Values(images), func(a, b firmware.Blob) int { return cmp.Compare(a.Length, b.Length) })
	sum, at := sha256.New(), int64(0)
	piece := make([]byte, 256<<10)
	for _, image := range images {
		for at < image.Length {
			if cause := context.Cause(ctx); cause != nil {
				return firmware.Blob{}, cause
			}
			n, err := base.ReadAt(piece[:min(int64(len(piece)), image.Length-at)], at)
			if n == 0 && err == io.EOF {
				return firmware.Blob{}, nil // all others are longer than the base
			}
			if n == 0 {
				return firmware.Blob{}, slotError("reading the base", err)
			}
			sum.Write(piece[:n])
			at += int64(n)
		}
		if firmware.Digest(sum.Sum(nil)) == image.SHA256 {
			return image, nil
		}
	}
	return firmware.Blob{}, nil
}
