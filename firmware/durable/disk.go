package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// FS is a file system that keeps what it was told to keep. Its methods are those of package os, and so are their errors. A
// folder that was opened can be synced. Between Sync and Sync it may lose what was done, in part and in any order.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (Handle, error)
	CreateTemp(dir, pattern string) (Handle, error)
	Rename(oldPath, newPath string) error
	Remove(name string) error
	RemoveAll(name string) error
	Mkdir(name string, perm fs.FileMode) error
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	// Lock takes the lock on an open file for as long as it is open, or returns ErrLocked at once.
	Lock(Handle) error
}

// Handle is an open file or folder, as *os.File is.
type Handle interface {
	io.ReadWriteCloser
	io.ReaderAt
	io.WriterAt
	Name() string
	Stat() (fs.FileInfo, error)
	Chmod(fs.FileMode) error
	Truncate(size int64) error
	Sync() error
}

// Disk is where durable files lie: in FS, or in the system's own file system if that is nil. The functions of this package
// are those of the zero Disk.
type Disk struct{ FS FS }

func (d Disk) fs() FS {
	if d.FS == nil {
		return System{}
	}
	return d.FS
}

// OpenFile, Stat, Lstat, ReadDir and RemoveAll are those of package os. Nothing that they change is durable.

func (d Disk) OpenFile(name string, flag int, perm fs.FileMode) (Handle, error) {
	return d.fs().OpenFile(name, flag, perm)
}
func (d Disk) Stat(name string) (fs.FileInfo, error)      { return d.fs().Stat(name) }
func (d Disk) Lstat(name string) (fs.FileInfo, error)     { return d.fs().Lstat(name) }
func (d Disk) ReadDir(name string) ([]fs.DirEntry, error) { return d.fs().ReadDir(name) }
func (d Disk) RemoveAll(name string) error                { return d.fs().RemoveAll(name) }

// Open opens a file to read it.
func (d Disk) Open(name string) (Handle, error) { return d.fs().OpenFile(name, os.O_RDONLY, 0) }

// ReadFile reads a whole file of the agent's own; foreign ones are measured first.
func (d Disk) ReadFile(name string) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteFile is the function of the same name.
func (d Disk) WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := d.Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Create is the function of the same name.
func (d Disk) Create(path string, perm fs.FileMode) (*Replacement, error) {
	if info, err := d.Lstat(path); err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return nil, fmt.Errorf("write %s: it exists and is not a regular file", path)
	}
	f, err := d.fs().CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	r := &Replacement{Handle: f, disk: d, path: path}
	if err := f.Chmod(perm); err != nil {
		r.Abort()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return r, nil
}

// Replacement is a file on its way to replace the one at its final path. Exactly one of Commit and Abort ends it; Abort
// after Commit does nothing.
type Replacement struct {
	Handle
	disk Disk
	path string
	done bool
}

// Commit makes what was written durable under the final path. On error nothing is left beside it.
func (r *Replacement) Commit() error {
	defer r.Abort()
	if err := r.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	if err := r.disk.fs().Rename(r.Name(), r.path); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	r.done = true
	return r.disk.SyncDir(filepath.Dir(r.path))
}

// Abort drops what was written.
func (r *Replacement) Abort() {
	if r.done {
		return
	}
	r.done = true
	_ = r.Close()
	_ = r.disk.fs().Remove(r.Name())
}

// SyncDir is the function of the same name.
func (d Disk) SyncDir(dir string) error {
	f, err := d.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// Rename is the function of the same name.
func (d Disk) Rename(oldPath, newPath string) error {
	if err := d.fs().Rename(oldPath, newPath); err != nil {
		return err
	}
	from, to := filepath.Dir(oldPath), filepath.Dir(newPath)
	if err := d.SyncDir(to); err != nil || from == to {
		return err
	}
	return d.SyncDir(from)
}

// Remove is the function of the same name.
func (d Disk) Remove(path string) error {
	if err := d.fs().Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := d.SyncDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// MkdirAll is the function of the same name.
func (d Disk) MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	info, err := d.Stat(path)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("make folder %s: a file is in its place", path)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := d.fs().Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	return d.SyncDir(parent)
}

// SweepTemps is the function of the same name.
func (d Disk) SweepTemps(dir string) error {
	entries, err := d.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep leftovers: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if err := d.fs().Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep leftovers: %w", err)
		}
	}
	return nil
}

// System is the system's own file system.
type System struct{}

func (System) OpenFile(name string, flag int, perm fs.FileMode) (Handle, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (System) CreateTemp(dir, pattern string) (Handle, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (System) Rename(oldPath, newPath string) error       { return os.Rename(oldPath, newPath) }
func (System) Remove(name string) error                   { return os.Remove(name) }
func (System) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (System) Mkdir(name string, perm fs.FileMode) error  { return os.Mkdir(name, perm) }
func (System) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (System) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (System) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (System) Lock(f Handle) error {
	file, ok := f.(*os.File)
	if !ok {
		return fmt.Errorf("lock %s: it is not a file of the system", f.Name())
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

// Forget asks the kernel to drop the pages of a file, so that the medium answers the next read: a hint.
func Forget(f Handle) {
	if file, ok := f.(*os.File); ok {
		_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}
