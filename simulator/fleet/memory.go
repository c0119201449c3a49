package fleet

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
)

// memory is a file system that lies in memory, as the small files of a unit may. It has no links and asks for no permissions. Its
// owner locks it otherwise. There are many of them, with some thirty files each: they are kept small.
type memory struct {
	dir   string // absolute and clean, with a slash at its end
	root  node   // it, and those above it
	mu    sync.Mutex
	nodes []*node
	temps int // names given so far
}

// node is a file or a folder.
type node struct {
	path string // clean, from the folder of the file system
	data []byte
	when int64 // of the last change, in Unix nanoseconds
	mode fs.FileMode
}

var _ durable.FS = (*memory)(nil)

// newMemory has one folder, and those above it.
func newMemory(dir string) *memory {
	dir = filepath.Clean(dir)
	return &memory{dir: dir + "/", root: node{path: filepath.Base(dir), mode: fs.ModeDir | 0o700}}
}

func refused(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

// at is the node at path; nil for none. Here and below the lock is held.
func (m *memory) at(path string) *node {
	path = filepath.Clean(path)
	if rest, above := strings.CutPrefix(m.dir, path); above && (rest[0] == '/' || path == "/") {
		return &m.root
	}
	path = m.inside(path)
	for _, n := range m.nodes {
		if n.path == path {
			return n
		}
	}
	return nil
}

// inside is a clean path from the folder of the file system.
func (m *memory) inside(path string) string { return strings.TrimPrefix(path, m.dir) }

func (m *memory) find(op, path string) (*node, error) {
	if n := m.at(path); n != nil {
		return n, nil
	}
	return nil, refused(op, path, syscall.ENOENT)
}

func (m *memory) add(op, path string, mode fs.FileMode) (*node, error) {
	path = filepath.Clean(path)
	if m.at(path) != nil {
		return nil, refused(op, path, syscall.EEXIST)
	}
	above := m.at(filepath.Dir(path))
	if above == nil {
		return nil, refused(op, path, syscall.ENOENT)
	}
	if !above.mode.IsDir() {
		return nil, refused(op, path, syscall.ENOTDIR)
	}
	n := &node{path: strings.Clone(m.inside(path)), mode: mode, when: time.Now().UnixNano()}
	m.nodes = append(m.nodes, n)
	return n, nil
}

func (m *memory) drop(n *node) {
	m.nodes = slices.DeleteFunc(m.nodes, func(other *node) bool { return other == n })
}

// OpenFile implements durable.FS.
func (m *memory) OpenFile(path string, flag int, perm fs.FileMode) (durable.Handle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", path)
	switch {
	case err != nil && flag&os.O_CREATE != 0:
		n, err = m.add("open", path, perm.Perm())
	case err == nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		err = refused("open", path, syscall.EEXIST)
	case err == nil && n.mode.IsDir() && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		err = refused("open", path, syscall.EISDIR)
	}
	if err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		n.data = nil
	}
	return &memoryFile{m: m, n: n, path: path, appends: flag&os.O_APPEND != 0}, nil
}

// CreateTemp implements durable.FS.
func (m *memory) CreateTemp(dir, pattern string) (durable.Handle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		m.temps++
		head, tail, _ := strings.Cut(pattern, "*")
		path := filepath.Join(dir, fmt.Sprintf("%s%d%s", head, m.temps, tail))
		if m.at(path) != nil {
			continue
		}
		n, err := m.add("createtemp", path, 0o600)
		if err != nil {
			return nil, err
		}
		return &memoryFile{m: m, n: n, path: path}, nil
	}
}

// Rename implements durable.FS, for files.
func (m *memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("rename", from)
	if err != nil {
		return err
	}
	to = filepath.Clean(to)
	old := m.at(to)
	if n.mode.IsDir() || old != nil && old.mode.IsDir() {
		return refused("rename", from, syscall.EISDIR)
	}
	if m.at(filepath.Dir(to)) == nil {
		return refused("rename", to, syscall.ENOENT)
	}
	if old != n {
		m.drop(old)
	}
	n.path = strings.Clone(m.inside(to))
	return nil
}

// Remove implements durable.FS.
func (m *memory) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("remove", path)
	if err != nil {
		return err
	}
	if n.mode.IsDir() && len(m.below(path)) > 0 {
		return refused("remove", path, syscall.ENOTEMPTY)
	}
	m.drop(n)
	return nil
}

// RemoveAll implements durable.FS.
func (m *memory) RemoveAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range append(m.below(path), m.at(path)) {
		m.drop(n)
	}
	return nil
}

// below lists everything in a folder.
func (m *memory) below(path string) (all []*node) {
	top, head := m.at(path) == &m.root, m.inside(filepath.Clean(path))+"/"
	for _, n := range m.nodes {
		if top || strings.HasPrefix(n.path, head) {
			all = append(all, n)
		}
	}
	return all
}

// Mkdir implements durable.FS.
func (m *memory) Mkdir(path string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.add("mkdir", path, fs.ModeDir|perm.Perm())
	return err
}

// Stat implements durable.FS.
func (m *memory) Stat(path string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("stat", path)
	if err != nil {
		return nil, err
	}
	return n.info(), nil
}

// Lstat implements durable.FS.
func (m *memory) Lstat(path string) (fs.FileInfo, error) { return m.Stat(path) }

// ReadDir implements durable.FS.
func (m *memory) ReadDir(path string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", path)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, refused("readdirent", path, syscall.ENOTDIR)
	}
	var all []fs.DirEntry
	for _, n := range m.below(path) {
		if filepath.Dir(filepath.Join(m.dir, n.path)) == filepath.Clean(path) {
			all = append(all, fs.FileInfoToDirEntry(n.info()))
		}
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// Lock implements durable.FS.
func (m *memory) Lock(h durable.Handle) error {
	return fmt.Errorf("lock %s: files in memory are locked by their owner", h.Name())
}

// info is a node as it is now.
func (n *node) info() fs.FileInfo {
	return info{name: filepath.Base(n.path), size: int64(len(n.data)), mode: n.mode, when: time.Unix(0, n.when)}
}

type info struct {
	name string
	size int64
	mode fs.FileMode
	when time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.when }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

// memoryFile is an open one. It stays what it was when it is renamed or removed.
type memoryFile struct {
	m       *memory
	n       *node
	path    string // at which it was opened
	at      int64  // where the next Read or Write begins
	appends bool
	closed  bool
}

func (f *memoryFile) Name() string { return f.path }

// do runs op with the lock held, on what is open and no folder.
func (f *memoryFile) do(name string, op func() (int, error)) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	switch {
	case f.closed:
		return 0, refused(name, f.path, fs.ErrClosed)
	case f.n.mode.IsDir():
		return 0, refused(name, f.path, syscall.EISDIR)
	}
	return op()
}

func (f *memoryFile) Read(p []byte) (int, error) {
	return f.do("read", func() (int, error) {
		n, err := f.readAt(p, f.at)
		if f.at += int64(n); n > 0 {
			err = nil
		}
		return n, err
	})
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	return f.do("read", func() (int, error) { return f.readAt(p, off) })
}

func (f *memoryFile) readAt(p []byte, off int64) (int, error) {
	n := copy(p, f.n.data[min(off, int64(len(f.n.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) Write(p []byte) (int, error) {
	return f.do("write", func() (int, error) {
		if f.appends {
			f.at = int64(len(f.n.data))
		}
		f.writeAt(p, f.at)
		f.at += int64(len(p))
		return len(p), nil
	})
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	return f.do("write", func() (int, error) { f.writeAt(p, off); return len(p), nil })
}

func (f *memoryFile) writeAt(p []byte, off int64) {
	f.resize(max(int64(len(f.n.data)), off+int64(len(p))))
	copy(f.n.data[off:], p)
}

func (f *memoryFile) Truncate(size int64) error {
	_, err := f.do("truncate", func() (int, error) { f.resize(size); return 0, nil })
	return err
}

// resize cuts off, or fills with zeros.
func (f *memoryFile) resize(size int64) {
	f.n.when = time.Now().UnixNano()
	if have := int64(len(f.n.data)); size > have {
		f.n.data = append(f.n.data, make([]byte, size-have)...)
	} else {
		clear(f.n.data[size:])
		f.n.data = f.n.data[:size]
	}
}

func (f *memoryFile) Stat() (fs.FileInfo, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.n.info(), nil
}

func (f *memoryFile) Chmod(mode fs.FileMode) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.mode = f.n.mode.Type() | mode.Perm()
	return nil
}

func (f *memoryFile) Sync() error { return nil }

func (f *memoryFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return refused("close", f.path, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
