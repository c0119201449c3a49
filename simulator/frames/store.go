package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Block is the size of what is shared, in bytes.
const Block = 64 << 10

// Store keeps blocks. It is safe for concurrent use; one process at a time may have it.
type Store struct {
	dir    string
	blocks *os.File
	seed   maphash.Seed
	zeros  [Block]byte
	spare  sync.Pool // of *[Block]byte, for blocks that are being written

	mu     sync.Mutex
	count  uint32              // blocks stored
	mapped [][]byte            // the file, as far as somebody has read it
	found  map[uint64][]uint32 // by hash
	last   map[place]uint32    // what was written there last
}

// place is a block of slots, and what it holds before it is written.
type place struct {
	block int
	holds uint32
}

// extent is how much of the file is mapped at once, in bytes.
const extent = 256 * Block

// Open opens the store in dir, and makes it if it is not there. It reads all blocks once.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store of slots: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "blocks"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the store of slots: %w", err)
	}
	s := &Store{dir: dir, blocks: f, seed: maphash.MakeSeed(), found: map[uint64][]uint32{}, last: map[place]uint32{}}
	if err := s.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the store of slots: %w", err), f.Close())
	}
	return s, nil
}

// index finds out what is there. A block that was not written whole is nobody's, and written over.
func (s *Store) index() error {
	buf := make([]byte, Block)
	for {
		_, err := s.blocks.ReadAt(buf, int64(s.count)*Block)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.count++
		sum := maphash.Bytes(s.seed, buf)
		s.found[sum] = append(s.found[sum], s.count)
	}
}

// Close closes the store. No slot may be open.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, m := range s.mapped {
		errs = append(errs, unix.Munmap(m))
	}
	s.mapped, s.count = nil, 0
	return errors.Join(append(errs, s.blocks.Close())...)
}

// Blocks is how many different blocks there are.
func (s *Store) Blocks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.count)
}

// put returns the number of a block of Block bytes that is written to some place. Units that take the same release write the same
// there, so that what was written last is compared first: that is quicker than to find it by its hash.
func (s *Store) put(p []byte, at place) (uint32, error) {
	s.mu.Lock()
	last := s.last[at]
	b, err := s.block(last)
	s.mu.Unlock()
	if err != nil || bytes.Equal(b, p) {
		return last, err
	}
	n, err := s.intern(p)
	if err == nil {
		s.mu.Lock()
		s.last[at] = n
		s.mu.Unlock()
	}
	return n, err
}

// intern returns the number of a block of Block bytes.
func (s *Store) intern(p []byte) (uint32, error) {
	if bytes.Equal(p, s.zeros[:]) {
		return 0, nil
	}
	sum := maphash.Bytes(s.seed, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.found[sum] {
		if b, err := s.block(n); err != nil || bytes.Equal(b, p) {
			return n, err
		}
	}
	if _, err := s.blocks.WriteAt(p, int64(s.count)*Block); err != nil {
		return 0, fmt.Errorf("storing a block of a slot: %w", err)
	}
	s.count++
	s.found[sum] = append(s.found[sum], s.count)
	return s.count, nil
}

// block is what a block holds, to be read, with the lock held; it stays so until the store is closed. It is mapped: a system call for
// each block is most of what a slot costs.
func (s *Store) block(n uint32) ([]byte, error) {
	if n == 0 {
		return s.zeros[:], nil
	}
	if n > s.count {
		return nil, fmt.Errorf("reading block %d of the slots: there are %d", n, s.count)
	}
	at := int64(n-1) * Block
	for int64(len(s.mapped)) <= at/extent {
		m, err := unix.Mmap(int(s.blocks.Fd()), int64(len(s.mapped))*extent, extent, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("reading block %d of the slots: %w", n, err)
		}
		s.mapped = append(s.mapped, m)
	}
	return s.mapped[at/extent][at%extent:][:Block], nil
}

// read reads a part of a block.
func (s *Store) read(n uint32, p []byte, at int64) error {
	if n == 0 {
		clear(p)
		return nil
	}
	b, err := s.lend(n)
	if err == nil {
		copy(p, b[at:])
	}
	return err
}

// lendOf is a part of one block of some content of so many bytes; nothing behind its end, and where the store cannot be read.
func (s *Store) lendOf(c Content, off int64, n int, size int64) []byte {
	if off < 0 || off >= size {
		return nil
	}
	b, err := s.lend(c.at(int(off / Block)))
	if err != nil {
		return nil
	}
	b = b[off%Block:]
	return b[:min(int64(n), int64(len(b)), size-off)]
}

// lend is block, without the lock.
func (s *Store) lend(n uint32) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.block(n)
}

// Content is what a slot holds: the number of each block. What is behind its end is zeros.
type Content []uint32

// Equal reports whether two contents are the same bytes.
func (c Content) Equal(d Content) bool {
	if len(c) < len(d) {
		c, d = d, c
	}
	for i, n := range c {
		if i < len(d) && d[i] != n || i >= len(d) && n != 0 {
			return false
		}
	}
	return true
}

// Begins reports whether content begins with an image of so many bytes.
func (s *Store) Begins(c, image Content, length int64) (bool, error) {
	whole := int(length / Block)
	if !c[:min(whole, len(c))].Equal(image[:min(whole, len(image))]) {
		return false, nil
	}
	rest := length % Block
	a, b := make([]byte, rest), make([]byte, rest)
	err := errors.Join(s.read(c.at(whole), a, 0), s.read(image.at(whole), b, 0))
	return err == nil && bytes.Equal(a, b), err
}

func (c Content) at(block int) uint32 {
	if block < len(c) {
		return c[block]
	}
	return 0
}

// Import stores the image in the file at path.
func (s *Store) Import(path string) (Content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var c Content
	buf := make([]byte, Block)
	for {
		n, err := io.ReadFull(f, buf)
		if err == io.EOF {
			return c, nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("storing the image %s: %w", path, err)
		}
		clear(buf[n:])
		block, err := s.intern(buf)
		if err != nil {
			return nil, err
		}
		c = append(c, block)
	}
}

const magic = "FLSLOT1\n"

// mapPath is where the content of the slot at path is kept.
func mapPath(path string) string { return path + ".map" }

// Load reads what the slot at path holds; nothing for a slot that is not there.
func Load(path string) (Content, error) {
	b, err := os.ReadFile(mapPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a slot: %w", err)
	}
	if len(b)%4 != 0 || !bytes.HasPrefix(b, []byte(magic)) {
		return nil, fmt.Errorf("reading a slot: %s is not the map of one", mapPath(path))
	}
	c := make(Content, (len(b)-len(magic))/4)
	for i := range c {
		c[i] = binary.LittleEndian.Uint32(b[len(magic)+4*i:])
	}
	return c, nil
}

// load is Load of a slot of this store.
func (s *Store) load(path string) (Content, error) {
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	if most := s.Blocks(); len(c) > 0 && int(slices.Max(c)) > most {
		return nil, fmt.Errorf("reading a slot: %s has block %d, and the store has %d", path, slices.Max(c), most)
	}
	return c, nil
}

// Save replaces what the slot at path holds, at once.
func (c Content) Save(path string) error {
	part := mapPath(path) + ".part"
	if err := os.WriteFile(part, c.encode(), 0o600); err != nil {
		return fmt.Errorf("keeping a slot: %w", err)
	}
	return os.Rename(part, mapPath(path))
}

func (c Content) encode() []byte {
	b := make([]byte, 0, len(magic)+4*len(c))
	b = append(b, magic...)
	for _, n := range c {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}
