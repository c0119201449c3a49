package crash

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
)

// Disk is a durable.FS that keeps everything in memory, and a log of what was done to it.
type Disk struct {
	mu   sync.Mutex
	base *Medium // as it was at the beginning of the log
	now  *Medium // as the running system sees it
	log  []*op
	next int // number of the next node
	held map[int]bool
	mute map[int]bool // files of locks, which are not logged

	// fault, if set, is asked before each operation; what it returns is the operation's error. A short write takes half.
	fault func(what, name string) error
	drop  string // a site whose syncs do nothing
	sites *sites
}

// NewDisk is a disk that holds m.
func NewDisk(m *Medium) *Disk {
	return &Disk{base: m, now: m.Clone(), next: m.free(), held: map[int]bool{}, mute: map[int]bool{}}
}

// Now is a copy of what the running system sees.
func (d *Disk) Now() *Medium {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.Clone()
}

// Mark writes into the log what somebody was promised.
func (d *Disk) Mark(what any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, &op{kind: opMark, mark: what})
}

func (d *Disk) do(o *op) {
	o.apply(d.now)
	if isLock(o.name) {
		d.mute[o.child] = true
	}
	if !d.mute[o.node] && !isLock(o.name) {
		d.log = append(d.log, o)
	}
}

// isLock: what lies in the file of a lock is for people, and nothing hangs on it.
func isLock(name string) bool { return name == "lock" || name == "agent.lock" }

// check asks the fault, with the lock held.
func (d *Disk) check(what, name string) error {
	if d.fault == nil {
		return nil
	}
	if err := d.fault(what, name); err != nil {
		return &fs.PathError{Op: what, Path: name, Err: err}
	}
	return nil
}

func (d *Disk) sync(what, name string, id int) error {
	if err := d.check(what, name); err != nil {
		return err
	}
	at := site()
	d.sites.add(at)
	if d.drop == "" || at != d.drop {
		d.log = append(d.log, &op{kind: opSync, node: id, site: at})
	}
	return nil
}

// sites counts who asks for syncs.
type sites struct {
	mu    sync.Mutex
	count map[string]int
}

func (s *sites) add(at string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[at]++
}

func split(name string) []string {
	return strings.FieldsFunc(path.Clean(name), func(r rune) bool { return r == '/' })
}

// find returns the folder, the last name, and the node of a path, which is -1 if there is none.
func (d *Disk) find(what, name string) (dir int, base string, id int, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return 0, "/", rootNode, nil
	}
	fail := func(err error) error { return &fs.PathError{Op: what, Path: name, Err: err} }
	if dir, err = d.now.lookup(parts[:len(parts)-1]); err != nil {
		return 0, "", -1, fail(syscall.ENOENT)
	}
	n := d.now.nodes[dir]
	if !n.dir {
		return 0, "", -1, fail(syscall.ENOTDIR)
	}
	base = parts[len(parts)-1]
	if id, ok := n.entries[base]; ok {
		return dir, base, id, nil
	}
	return dir, base, -1, nil
}

// OpenFile is that of durable.FS.
func (d *Disk) OpenFile(name string, flag int, _ fs.FileMode) (durable.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	dir, base, id, err := d.find("open", name)
	switch {
	case err != nil:
		return nil, err
	case id < 0 && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	case id >= 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EEXIST}
	case id >= 0 && d.now.nodes[id].dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case id < 0:
		return d.create(dir, base, name)
	case isLock(base):
		d.mute[id] = true
	case flag&os.O_TRUNC != 0 && len(d.now.file(id)) > 0:
		d.do(&op{kind: opResize, node: id})
	}
	return &handle{disk: d, id: id, name: name}, nil
}

func (d *Disk) create(dir int, base, name string) (durable.Handle, error) {
	if err := d.check("create", name); err != nil {
		return nil, err
	}
	id := d.next
	d.next++
	d.do(&op{kind: opSet, node: dir, name: base, child: id})
	return &handle{disk: d, id: id, name: name}, nil
}

// CreateTemp is that of durable.FS. The first free number takes the place of chance.
func (d *Disk) CreateTemp(dir, pattern string) (durable.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := 0; ; i++ {
		name := path.Join(dir, strings.Replace(pattern, "*", fmt.Sprint(i), 1))
		in, base, id, err := d.find("open", name)
		if err == nil {
			err = d.check("open", name)
		}
		if err != nil {
			return nil, err
		}
		if id < 0 {
			return d.create(in, base, name)
		}
	}
}

// Rename is that of durable.FS, within one folder.
func (d *Disk) Rename(oldPath, newPath string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check("rename", newPath); err != nil {
		return err
	}
	from, base, id, err := d.find("rename", oldPath)
	if err != nil || id < 0 {
		return errors.Join(err, &fs.PathError{Op: "rename", Path: oldPath, Err: syscall.ENOENT})
	}
	to, newBase, _, err := d.find("rename", newPath)
	if err != nil {
		return err
	}
	if from != to {
		panic("crash: rename between folders: " + oldPath + " to " + newPath)
	}
	d.do(&op{kind: opRename, node: from, name: base, to: newBase, child: id})
	return nil
}

// Remove is that of durable.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(name)
}

func (d *Disk) remove(name string) error {
	if err := d.check("remove", name); err != nil {
		return err
	}
	dir, base, id, err := d.find("remove", name)
	if err != nil {
		return err
	}
	if id < 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOENT}
	}
	if len(d.now.nodes[id].entries) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	d.do(&op{kind: opUnset, node: dir, name: base})
	return nil
}

// RemoveAll is that of durable.FS.
func (d *Disk) RemoveAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, id, err := d.find("remove", name)
	if err != nil || id < 0 {
		return err
	}
	for child := range d.now.nodes[id].entries {
		if err := d.remove(path.Join(name, child)); err != nil {
			return err
		}
	}
	return d.remove(name)
}

// Mkdir is that of durable.FS.
func (d *Disk) Mkdir(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check("mkdir", name); err != nil {
		return err
	}
	dir, base, id, err := d.find("mkdir", name)
	if err != nil {
		return err
	}
	if id >= 0 {
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.EEXIST}
	}
	d.do(&op{kind: opSet, node: dir, name: base, child: d.next, length: 1})
	d.next++
	return nil
}

// Stat is that of durable.FS; there are no links.
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, base, id, err := d.find("stat", name)
	if err != nil {
		return nil, err
	}
	if id < 0 {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
	}
	return d.info(base, id), nil
}

// Lstat is Stat.
func (d *Disk) Lstat(name string) (fs.FileInfo, error) { return d.Stat(name) }

func (d *Disk) info(base string, id int) info {
	n := d.now.nodes[id]
	return info{base, int64(len(n.data)), n.dir}
}

// ReadDir is that of durable.FS.
func (d *Disk) ReadDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, id, err := d.find("open", name)
	if err == nil && id < 0 {
		err = &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	if err != nil {
		return nil, err
	}
	var all []fs.DirEntry
	for base, child := range d.now.nodes[id].entries {
		all = append(all, fs.FileInfoToDirEntry(d.info(base, child)))
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// Lock is that of durable.FS.
func (d *Disk) Lock(f durable.Handle) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := f.(*handle)
	if d.held[h.id] {
		return durable.ErrLocked
	}
	d.held[h.id], h.locked = true, true
	return nil
}

// info is a fs.FileInfo.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// handle is an open file or folder.
type handle struct {
	disk   *Disk
	id     int
	name   string
	at     int64
	locked bool
	closed bool
}

func (h *handle) Name() string            { return h.name }
func (h *handle) Chmod(fs.FileMode) error { return nil }

func (h *handle) Stat() (fs.FileInfo, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return h.disk.info(path.Base(h.name), h.id), nil
}

func (h *handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	h.closed = true
	if h.locked {
		delete(h.disk.held, h.id)
	}
	return nil
}

func (h *handle) Read(p []byte) (int, error) {
	n, err := h.ReadAt(p, h.at)
	if h.at += int64(n); n > 0 {
		err = nil
	}
	return n, err
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.check("read", h.name); err != nil {
		return 0, err
	}
	data := h.disk.now.file(h.id)
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(p, data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Write(p []byte) (int, error) {
	n, err := h.WriteAt(p, h.at)
	h.at += int64(n)
	return n, err
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	err := h.disk.check("write", h.name)
	if errors.Is(err, errShort) {
		p = p[:len(p)/2]
	} else if err != nil {
		return 0, err
	}
	h.disk.do(&op{kind: opWrite, node: h.id, off: off, data: slices.Clone(p)})
	return len(p), err
}

func (h *handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.check("truncate", h.name); err != nil {
		return err
	}
	if int64(len(h.disk.now.file(h.id))) != size {
		h.disk.do(&op{kind: opResize, node: h.id, length: size})
	}
	return nil
}

func (h *handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return h.disk.sync("sync", h.name, h.id)
}

// errShort makes a write take half of its bytes.
var errShort = fmt.Errorf("%w (test)", io.ErrShortWrite)
