package crash

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/firmware/durable"
)

// Tee is a folder of the system's own file system, of which a Disk has a copy and the log: for a program that reads its
// files past the seam.
type Tee struct {
	durable.System
	dir  string
	disk *Disk
	// when, if set, is asked before a change; its error is the change's.
	when func(what, name string) error
}

// NewTee copies what dir holds.
func NewTee(dir string) (*Tee, error) {
	m := NewMedium(0)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir)
		if e.IsDir() {
			m.PutDir(name)
			return nil
		}
		b, err := os.ReadFile(path)
		m.Put(name, b)
		return err
	})
	return &Tee{dir: dir, disk: NewDisk(m)}, err
}

func (t *Tee) name(path string) string { return strings.TrimPrefix(path, t.dir) }

func (t *Tee) ask(what, path string) error {
	if t.when == nil {
		return nil
	}
	if err := t.when(what, t.name(path)); err != nil {
		return &fs.PathError{Op: what, Path: path, Err: err}
	}
	return nil
}

// OpenFile and the rest are those of durable.FS.
func (t *Tee) OpenFile(name string, flag int, perm fs.FileMode) (durable.Handle, error) {
	if err := t.ask("open", name); err != nil {
		return nil, err
	}
	f, err := t.System.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return t.both(f, flag)
}

// CreateTemp makes both under the name that chance gave.
func (t *Tee) CreateTemp(dir, pattern string) (durable.Handle, error) {
	if err := t.ask("create", filepath.Join(dir, pattern)); err != nil {
		return nil, err
	}
	f, err := t.System.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return t.both(f, os.O_CREATE|os.O_RDWR)
}

func (t *Tee) both(f durable.Handle, flag int) (durable.Handle, error) {
	shadow, err := t.disk.OpenFile(t.name(f.Name()), flag&^os.O_EXCL, 0)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &teeHandle{f.(*os.File), shadow, t}, nil
}

func (t *Tee) Rename(oldPath, newPath string) error {
	if err := t.ask("rename", newPath); err != nil {
		return err
	}
	if err := t.System.Rename(oldPath, newPath); err != nil {
		return err
	}
	return t.disk.Rename(t.name(oldPath), t.name(newPath))
}

func (t *Tee) Remove(name string) error {
	if err := t.ask("remove", name); err != nil {
		return err
	}
	if err := t.System.Remove(name); err != nil {
		return err
	}
	return t.disk.Remove(t.name(name))
}

func (t *Tee) Mkdir(name string, perm fs.FileMode) error {
	if err := t.ask("mkdir", name); err != nil {
		return err
	}
	if err := t.System.Mkdir(name, perm); err != nil {
		return err
	}
	return t.disk.Mkdir(t.name(name), perm)
}

func (t *Tee) Lock(f durable.Handle) error { return t.System.Lock(f.(*teeHandle).File) }

type teeHandle struct {
	*os.File
	shadow durable.Handle
	tee    *Tee
}

func (h *teeHandle) Write(p []byte) (int, error) {
	if err := h.tee.ask("write", h.Name()); errors.Is(err, errShort) {
		n, _ := h.File.Write(p[:len(p)/2])
		_, _ = h.shadow.Write(p[:n])
		return n, err
	} else if err != nil {
		return 0, err
	}
	n, err := h.File.Write(p)
	_, _ = h.shadow.Write(p[:n])
	return n, err
}

func (h *teeHandle) WriteAt(p []byte, off int64) (int, error) {
	n, err := h.File.WriteAt(p, off)
	_, _ = h.shadow.WriteAt(p[:n], off)
	return n, err
}

func (h *teeHandle) Truncate(size int64) error {
	return errors.Join(h.File.Truncate(size), h.shadow.Truncate(size))
}

func (h *teeHandle) Sync() error {
	if err := h.tee.ask("sync", h.Name()); err != nil {
		return err
	}
	return errors.Join(h.File.Sync(), h.shadow.Sync())
}

func (h *teeHandle) Close() error {
	_ = h.shadow.Close()
	return h.File.Close()
}
