package fleet

import (
	"io/fs"
	"sync"

	"github.com/fairlead/fairlead/firmware/durable"
)

// disk is the file system of a unit. Without power it does nothing more.
type disk struct {
	durable.FS // the machine's own, or memory
	power      *power
	locks      *locks
	lazy       bool // nothing is flushed: it is to survive this process, not this machine
}

var _ durable.FS = disk{}

// OpenFile implements durable.FS.
func (d disk) OpenFile(name string, flag int, perm fs.FileMode) (h durable.Handle, err error) {
	err = d.power.do(func() (err error) { h, err = d.FS.OpenFile(name, flag, perm); return err })
	return d.handle(h, err)
}

// CreateTemp implements durable.FS.
func (d disk) CreateTemp(dir, pattern string) (h durable.Handle, err error) {
	err = d.power.do(func() (err error) { h, err = d.FS.CreateTemp(dir, pattern); return err })
	return d.handle(h, err)
}

func (d disk) handle(h durable.Handle, err error) (durable.Handle, error) {
	if err != nil {
		return nil, err
	}
	return &handle{Handle: h, disk: d}, nil
}

// Rename implements durable.FS.
func (d disk) Rename(from, to string) error {
	return d.power.do(func() error { return d.FS.Rename(from, to) })
}

// Remove implements durable.FS.
func (d disk) Remove(name string) error {
	return d.power.do(func() error { return d.FS.Remove(name) })
}

// RemoveAll implements durable.FS.
func (d disk) RemoveAll(name string) error {
	return d.power.do(func() error { return d.FS.RemoveAll(name) })
}

// Mkdir implements durable.FS.
func (d disk) Mkdir(name string, perm fs.FileMode) error {
	return d.power.do(func() error { return d.FS.Mkdir(name, perm) })
}

// Lock implements durable.FS. Where slots are no files nobody but this process has business with the unit, and its locks need not be the
// system's, which take a descriptor each.
func (d disk) Lock(h durable.Handle) error {
	own := h.(*handle)
	if !d.lazy {
		return d.FS.Lock(own.Handle)
	}
	if !d.locks.take(h.Name()) {
		return durable.ErrLocked
	}
	own.locked = true
	return own.Handle.Close()
}

// locks are those of a fleet, by path.
type locks struct {
	mu   sync.Mutex
	held map[string]bool
}

func (l *locks) take(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[path] {
		return false
	}
	l.held[path] = true
	return true
}

func (l *locks) release(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, path)
}

// handle is an open file of a unit.
type handle struct {
	durable.Handle
	disk   disk
	locked bool // and closed already
}

// Close gives a lock back.
func (h *handle) Close() error {
	if h.locked {
		h.disk.locks.release(h.Name())
		return nil
	}
	return h.Handle.Close()
}

func (h *handle) Write(p []byte) (n int, err error) {
	err = h.disk.power.do(func() (err error) { n, err = h.Handle.Write(p); return err })
	return n, err
}

func (h *handle) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.disk.power.do(func() (err error) { n, err = h.Handle.WriteAt(p, off); return err })
	return n, err
}

func (h *handle) Truncate(size int64) error {
	return h.disk.power.do(func() error { return h.Handle.Truncate(size) })
}

func (h *handle) Sync() error {
	return h.disk.power.do(func() error {
		if h.disk.lazy {
			return nil
		}
		return h.Handle.Sync()
	})
}
