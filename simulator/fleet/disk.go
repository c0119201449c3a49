package fleet

import (
	"io/fs"

	"github.com/fairlead/fairlead/firmware/durable"
)

// disk is the file system of a unit. Without power it does nothing more.
type disk struct {
	durable.System
	power *power
	lazy  bool // nothing is flushed: it is to survive this process, not this machine
}

var _ durable.FS = disk{}

// OpenFile implements durable.FS.
func (d disk) OpenFile(name string, flag int, perm fs.FileMode) (h durable.Handle, err error) {
	err = d.power.do(func() (err error) { h, err = d.System.OpenFile(name, flag, perm); return err })
	return d.handle(h, err)
}

// CreateTemp implements durable.FS.
func (d disk) CreateTemp(dir, pattern string) (h durable.Handle, err error) {
	err = d.power.do(func() (err error) { h, err = d.System.CreateTemp(dir, pattern); return err })
	return d.handle(h, err)
}

func (d disk) handle(h durable.Handle, err error) (durable.Handle, error) {
	if err != nil {
		return nil, err
	}
	return handle{h, d}, nil
}

// Rename implements durable.FS.
func (d disk) Rename(from, to string) error {
	return d.power.do(func() error { return d.System.Rename(from, to) })
}

// Remove implements durable.FS.
func (d disk) Remove(name string) error {
	return d.power.do(func() error { return d.System.Remove(name) })
}

// RemoveAll implements durable.FS.
func (d disk) RemoveAll(name string) error {
	return d.power.do(func() error { return d.System.RemoveAll(name) })
}

// Mkdir implements durable.FS.
func (d disk) Mkdir(name string, perm fs.FileMode) error {
	return d.power.do(func() error { return d.System.Mkdir(name, perm) })
}

// Lock implements durable.FS.
func (d disk) Lock(h durable.Handle) error { return d.System.Lock(h.(handle).Handle) }

// handle is an open file of a unit.
type handle struct {
	durable.Handle
	disk disk
}

func (h handle) Write(p []byte) (n int, err error) {
	err = h.disk.power.do(func() (err error) { n, err = h.Handle.Write(p); return err })
	return n, err
}

func (h handle) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.disk.power.do(func() (err error) { n, err = h.Handle.WriteAt(p, off); return err })
	return n, err
}

func (h handle) Truncate(size int64) error {
	return h.disk.power.do(func() error { return h.Handle.Truncate(size) })
}

func (h handle) Sync() error {
	return h.disk.power.do(func() error {
		if h.disk.lazy {
			return nil
		}
		return h.Handle.Sync()
	})
}
