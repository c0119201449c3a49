package chunk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync/atomic"
)

// base is the point at which the polynomial is taken. It is 5 modulo 8, so that its powers take long to come again.
const base uint64 = 0x9e3779b97f4a7c15

// coefficients stand for the bytes.
var coefficients = func() (c [256]uint64) {
	for i := range c {
		sum := sha256.Sum256(append([]byte("fairlead chunk "), byte(i)))
		c[i] = binary.LittleEndian.Uint64(sum[:])
	}
	return c
}()

// Hash is the hash by which a chunk is found: for bytes b[0] to b[n-1] the sum, modulo 2^64, of c(b[i])*m^(n-1-i), where m
// is 0x9e3779b97f4a7c15 and c(b) the first 8 bytes, little endian, of SHA-256 of "fairlead chunk " and the byte b.
func Hash(b []byte) (h uint64) {
	// Four at a time: none of the four multiplications waits for another.
	m := base
	m2, m3, m4 := m*m, m*m*m, m*m*m*m
	for ; len(b) >= 4; b = b[4:] {
		h = h*m4 + coefficients[b[0]]*m3 + coefficients[b[1]]*m2 + coefficients[b[2]]*m + coefficients[b[3]]
	}
	for _, v := range b {
		h = h*base + coefficients[v]
	}
	return h
}

// filterBits is the logarithm of the number of bits that tell most windows that are no chunk from the others.
const filterBits = 20

// Finder finds chunks in other images. Its methods may be called from many goroutines.
type Finder struct {
	index  *Index
	leave  [256]uint64 // what a byte that leaves the window has added to the hash
	filter []uint64
	first  map[uint64]int32 // a chunk with this hash
	next   []int32          // another one with the same; -1 for none
	places []atomic.Int64   // 1 more than where it was found; 0 for nowhere
}

// NewFinder is for the chunks of x that are whole and not zeros.
func (x *Index) NewFinder() *Finder {
	f := &Finder{index: x, filter: make([]uint64, 1<<filterBits/64), first: make(map[uint64]int32, len(x.entries)),
		next: make([]int32, len(x.entries)), places: make([]atomic.Int64, len(x.entries))}
	power := uint64(1)
	for range x.size {
		power *= base
	}
	for i := range f.leave {
		f.leave[i] = coefficients[i] * power
	}
	for i := range x.entries {
		if c := x.Chunk(i); c.Stored > 0 && c.Length == int64(x.size) {
			f.add(int32(i), c.Find)
		}
	}
	return f
}

func (f *Finder) add(i int32, find uint64) {
	f.next[i] = -1
	if other, ok := f.first[find]; ok {
		f.next[i] = other
	}
	f.first[find] = i
	f.filter[find>>(70-filterBits)] |= 1 << (find >> (64 - filterBits) & 63)
}

// Found says where chunk i was found: at which byte of the image that place names.
func (f *Finder) Found(i int) (at int64, ok bool) {
	at = f.places[i].Load() - 1
	return at, at >= 0
}

// scanned is read at once.
const scanned = 256 << 10

// Scan looks at the windows of r that begin within [from, to); where a window is a chunk that was not found yet, place is what
// Found will say, if place is not negative. r may end earlier. What it costs is reading, and about 2 ns a byte.
func (f *Finder) Scan(ctx context.Context, r io.ReaderAt, from, to int64, place func(at int64) int64) error {
	size := f.index.size
	buf := make([]byte, size+scanned)
	n, err := readAt(r, buf[:size], from)
	if n < size {
		return err
	}
	h := Hash(buf[:size])
	f.look(h, from, place)
	zero := isZero(buf[:size])
	for at := from + 1; at < to; {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		n, err := readAt(r, buf[size:], at-1+int64(size))
		n = int(min(int64(n), to-at))
		if n == 0 {
			return err
		}
		if came := buf[size:][:n]; !zero || !isZero(came) { // else all windows are of zeros, which are no chunk
			h = f.roll(h, buf[:size+n], at, place)
			zero = isZero(came) && n >= size
		}
		copy(buf, buf[n:n+size])
		at += int64(n)
	}
	return nil
}

// roll takes the window, which begins as long a buf as a chunk, over the rest of it.
func (f *Finder) roll(h uint64, buf []byte, at int64, place func(int64) int64) uint64 {
	size := f.index.size
	comes, leaves := buf[size:], buf[:len(buf)-size]
	for i, in := range comes {
		h = h*base + coefficients[in] - f.leave[leaves[i]]
		if f.filter[h>>(70-filterBits)]>>(h>>(64-filterBits)&63)&1 != 0 {
			f.look(h, at+int64(i), place)
		}
	}
	return h
}

// look notes the chunks that have this hash.
func (f *Finder) look(h uint64, at int64, place func(int64) int64) {
	i, ok := f.first[h]
	if !ok || f.places[i].Load() != 0 {
		return
	}
	if at = place(at); at < 0 {
		return
	}
	for ; i >= 0; i = f.next[i] {
		f.places[i].Store(at + 1)
	}
}

// readAt reads as much of p as there is.
func readAt(r io.ReaderAt, p []byte, at int64) (n int, err error) {
	n, err = r.ReadAt(p, at)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
