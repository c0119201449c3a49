package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware/durable"
)

// CreateFile makes the patch from one image to another, both files or block devices. The patch is in place, durable, when
// CreateFile returns without error; else what was at patchPath before is, and nothing beside it. The folder needs room for
// the patch twice. An image that changes meanwhile is an error.
func CreateFile(ctx context.Context, basePath, imagePath, patchPath string, o Options) (Created, error) {
	base, err := mapImage(basePath, patchPath)
	if err != nil {
		return Created{}, err
	}
	defer base.close()
	image, err := mapImage(imagePath, patchPath)
	if err != nil {
		return Created{}, err
	}
	defer image.close()
	spool, err := durable.Spool(filepath.Dir(patchPath))
	if err != nil {
		return Created{}, err
	}
	defer spool.Close()
	out, err := durable.Create(patchPath, 0o644)
	if err != nil {
		return Created{}, err
	}
	defer out.Abort()
	c, err := Create(ctx, out, base.bytes, image.bytes, spool, o)
	if err = errors.Join(err, base.unchanged(), image.unchanged()); err != nil {
		return Created{}, err
	}
	return c, out.Commit()
}

// mapped is an image in the address space, read only.
type mapped struct {
	*os.File
	info  fs.FileInfo
	bytes []byte
}

func mapImage(path, output string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	m := &mapped{File: f}
	if err := m.open(output); err != nil {
		f.Close()
		return nil, fmt.Errorf("open image %s: %w", path, err)
	}
	return m, nil
}

func (m *mapped) open(output string) (err error) {
	if m.info, err = m.Stat(); err != nil {
		return err
	}
	if t := m.info.Mode().Type(); t != 0 && t != fs.ModeDevice {
		return errors.New("it is neither a file nor a block device")
	}
	if there, err := os.Stat(output); err == nil && os.SameFile(m.info, there) {
		return errors.New("it is also the output; choose another name for that")
	}
	// Unlike Stat, Seek knows the size of a block device.
	size, err := m.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find its size: %w", err)
	}
	if size == 0 {
		return nil // there is no mapping of nothing
	}
	m.bytes, err = unix.Mmap(int(m.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// unchanged fails if somebody wrote to the image meanwhile: the patch would be of a mixture that never existed.
func (m *mapped) unchanged() error {
	now, err := m.Stat()
	if err != nil {
		return fmt.Errorf("look at image again: %w", err)
	}
	if now.Size() != m.info.Size() || !now.ModTime().Equal(m.info.ModTime()) {
		return fmt.Errorf("make patch: %s changed while it was read; use a copy that nobody writes to", m.Name())
	}
	return nil
}

func (m *mapped) close() {
	if m.bytes != nil {
		_ = unix.Munmap(m.bytes)
	}
	_ = m.Close()
}

// guard makes an error of what the kernel does to those who read a mapped file that was cut off or whose medium fails.
func guard(f func() error) func() error {
	return func() (err error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			fault, ok := r.(interface {
				error
				Addr() uintptr
			})
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("an image cannot be read any more: it was cut off, or its medium fails: %w", fault)
		}()
		return f()
	}
}
