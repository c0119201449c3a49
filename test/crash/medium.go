package crash

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"slices"
)

// sector is what a medium writes as a whole, and page what slots are compared by, in bytes.
const (
	sector = 512
	page   = 4096
)

// Sum tells media apart.
type Sum [16]byte

// node is a file or a folder. It is never changed: an operation puts another in its place.
type node struct {
	dir     bool
	entries map[string]int // of a folder: numbers of nodes
	data    []byte         // of a file
	sum     Sum
}

func newFile(data []byte) *node {
	n := &node{data: data}
	n.sum = sumOf(data)
	return n
}

func sumOf(data []byte) (s Sum) {
	h := sha256.Sum256(data)
	copy(s[:], h[:])
	return s
}

// leaf is a page of a slot.
type leaf struct {
	data [page]byte
	sum  Sum
}

var zeroLeaf = func() *leaf {
	l := &leaf{}
	l.sum = sumOf(l.data[:])
	return l
}()

// Medium is what a disk holds: a tree of files, and two slots. To copy it is cheap.
type Medium struct {
	nodes map[int]*node // 0 is the root
	slots [2][]*leaf
}

const rootNode = 0

// NewMedium has an empty root and slots of so many bytes, zeros.
func NewMedium(slotSize int) *Medium {
	m := &Medium{nodes: map[int]*node{rootNode: {dir: true, entries: map[string]int{}}}}
	for i := range m.slots {
		m.slots[i] = slices.Repeat([]*leaf{zeroLeaf}, slotSize/page)
	}
	return m
}

// Clone copies a medium.
func (m *Medium) Clone() *Medium {
	c := &Medium{nodes: maps.Clone(m.nodes)}
	for i := range m.slots {
		c.slots[i] = slices.Clone(m.slots[i])
	}
	return c
}

// Sum is that of everything that can be reached by a name, and of the slots.
func (m *Medium) Sum() Sum {
	b := make([]byte, 0, 4096)
	b = m.appendSums(b, "", rootNode)
	for i := range m.slots {
		for _, l := range m.slots[i] {
			b = append(b, l.sum[:]...)
		}
	}
	return sumOf(b)
}

func (m *Medium) appendSums(b []byte, path string, id int) []byte {
	n := m.nodes[id]
	if n == nil {
		n = newFile(nil)
	}
	if !n.dir {
		return append(append(append(b, path...), 0), n.sum[:]...)
	}
	b = append(append(b, path...), '/')
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		if !isLock(name) {
			b = m.appendSums(b, name, n.entries[name])
		}
	}
	return append(b, 1)
}

// setEdit puts a changed copy of a folder in its place.
func (m *Medium) editDir(id int, edit func(entries map[string]int)) {
	entries := map[string]int{}
	if n := m.nodes[id]; n != nil {
		maps.Copy(entries, n.entries)
	}
	edit(entries)
	m.nodes[id] = &node{dir: true, entries: entries}
}

func (m *Medium) file(id int) []byte {
	if n := m.nodes[id]; n != nil {
		return n.data
	}
	return nil
}

// resize cuts a file off, or lets it grow with zeros.
func (m *Medium) resize(id int, size int64) {
	data := make([]byte, size)
	copy(data, m.file(id))
	m.nodes[id] = newFile(data)
}

func (m *Medium) write(id int, off int64, p []byte) {
	old := m.file(id)
	data := make([]byte, max(int64(len(old)), off+int64(len(p))))
	copy(data, old)
	copy(data[off:], p)
	m.nodes[id] = newFile(data)
}

// writeSlot writes to a slot; nil writes zeros.
func (m *Medium) writeSlot(slot int, off, length int64, p []byte) {
	for at := int64(0); at < length; {
		i, from := (off+at)/page, (off+at)%page
		n := min(page-from, length-at)
		if p == nil && n == page {
			m.slots[slot][i] = zeroLeaf
		} else {
			l := &leaf{data: m.slots[slot][i].data}
			if p == nil {
				clear(l.data[from : from+n])
			} else {
				copy(l.data[from:], p[at:at+n])
			}
			l.sum = sumOf(l.data[:])
			m.slots[slot][i] = l
		}
		at += n
	}
}

// readSlot fills p, which lies within the slot.
func (m *Medium) readSlot(slot int, off int64, p []byte) {
	for at := 0; at < len(p); {
		i, from := (off+int64(at))/page, (off+int64(at))%page
		at += copy(p[at:], m.slots[slot][i].data[from:])
	}
}

// Holds says whether a slot begins with the pages of an image.
func (m *Medium) Holds(slot int, image []*leaf) bool {
	for i, l := range image {
		if own := m.slots[slot][i]; own != l && own.sum != l.sum {
			return false
		}
	}
	return true
}

// Leaves are the pages of an image, whose last is filled with zeros.
func Leaves(image []byte) []*leaf {
	m := NewMedium((len(image) + page - 1) / page * page)
	m.writeSlot(0, 0, int64(len(image)), image)
	return m.slots[0]
}

// lookup finds a node by its path below the root.
func (m *Medium) lookup(path []string) (id int, err error) {
	for _, name := range path {
		n := m.nodes[id]
		if n == nil || !n.dir {
			return 0, fs.ErrNotExist
		}
		child, ok := n.entries[name]
		if !ok {
			return 0, fs.ErrNotExist
		}
		id = child
	}
	return id, nil
}

// ReadFile reads a file by its path; fs.ErrNotExist if there is none.
func (m *Medium) ReadFile(name string) ([]byte, error) {
	id, err := m.lookup(split(name))
	if err != nil {
		return nil, err
	}
	return m.file(id), nil
}

// Put makes or replaces a file, and the folders above it, without a word in any log.
func (m *Medium) Put(name string, data []byte) {
	path, id := split(name), rootNode
	for i, part := range path {
		child, ok := m.nodes[id].entries[part]
		if !ok {
			child = m.free()
			m.editDir(id, func(e map[string]int) { e[part] = child })
		}
		if i == len(path)-1 {
			m.nodes[child] = newFile(data)
		} else if !ok {
			m.nodes[child] = &node{dir: true, entries: map[string]int{}}
		}
		id = child
	}
}

// Delete removes a name without a word in any log.
func (m *Medium) Delete(name string) {
	path := split(name)
	if dir, err := m.lookup(path[:len(path)-1]); err == nil {
		m.editDir(dir, func(e map[string]int) { delete(e, path[len(path)-1]) })
	}
}

// PutSlot fills a slot from its beginning.
func (m *Medium) PutSlot(slot int, image []byte) { m.writeSlot(slot, 0, int64(len(image)), image) }

func (m *Medium) free() int {
	id := 0
	for n := range m.nodes {
		id = max(id, n)
	}
	return id + 1
}

// PutDir makes a folder, and those above it, without a word in any log.
func (m *Medium) PutDir(name string) {
	if len(split(name)) == 0 {
		return
	}
	m.Put(name+"/x", nil)
	m.Delete(name + "/x")
}

// Walk calls f for each file and each folder, a folder first.
func (m *Medium) Walk(f func(name string, dir bool, data []byte) error) error {
	return m.walk("", rootNode, f)
}

func (m *Medium) walk(name string, id int, f func(name string, dir bool, data []byte) error) error {
	n := m.nodes[id]
	if err := f(name, n.dir, n.data); err != nil || !n.dir {
		return err
	}
	for _, child := range slices.Sorted(maps.Keys(n.entries)) {
		if err := m.walk(name+"/"+child, n.entries[child], f); err != nil {
			return err
		}
	}
	return nil
}
