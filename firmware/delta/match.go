package delta

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	window  = 24  // bytes that are hashed
	step    = 8   // of positions of the base that are indexed
	gain    = 12  // equal bytes that another alignment must have more
	minCopy = 512 // equal bytes that are worth a copy among differences
	maxBase = (1<<32 - 2) * step
)

// region is a part of a frame that lies at some place of the base, most of it equal.
type region struct {
	at, length int   // within the frame
	old        int64 // within the base
}

// index finds equal bytes in the base: every step-th position, by the hash of window bytes.
type index struct {
	base   []byte
	memory []byte
	table  []uint32 // pairs: position/step+1; the first found, and the last
	shift  uint
}

func newIndex(ctx context.Context, base []byte) (*index, error) {
	n := len(base)/step + 1
	log := max(10, bits.Len(uint(n-1))-1)
	x := &index{base: base, shift: uint(64 - log)}
	if err := x.allocate(2 << log); err != nil {
		return nil, fmt.Errorf("index the base: %w", err)
	}
	for at := 0; at+window <= len(base); at += step {
		if at%(64<<20) == 0 && ctx.Err() != nil {
			x.close()
			return nil, ctx.Err()
		}
		h, ok := hashWindow(base[at:])
		if !ok {
			continue
		}
		b := x.table[2*(h>>x.shift):][:2]
		if b[0] == 0 {
			b[0] = uint32(at/step) + 1
		} else {
			b[1] = uint32(at/step) + 1
		}
	}
	return x, nil
}

func (x *index) close() { _ = unix.Munmap(x.memory) }

// allocate takes memory in large pages where there are any: every look into it is at another place.
func (x *index) allocate(n int) error {
	memory, err := unix.Mmap(-1, 0, 4*n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	x.memory, x.table = memory, unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(memory))), n)
	return nil
}

// hashWindow is of the first window bytes of p; ok is false for a run of one pattern of 8 bytes, which lies everywhere.
func hashWindow(p []byte) (h uint64, ok bool) {
	a, b, c := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:window])
	h = a*0x9E3779B97F4A7C15 ^ bits.RotateLeft64(b*0xC2B2AE3D27D4EB4F, 29) ^ bits.RotateLeft64(c*0x165667B19E3779F9, 47)
	h ^= h >> 32
	return h * 0xD6E8FEB86659FD93, a != b || b != c
}

// equal counts the leading bytes that a and b share.
func equal(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// equalBack counts the trailing bytes that a and b share.
func equalBack(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// aligner finds the regions of one frame.
type aligner struct {
	*index
	frame   []byte
	regions []region
	open    bool
	cur     region // its length is what is certain so far
	shift   int64  // of cur: old - at
}

// align returns the regions of a frame that lies at the given offset of the new image, in order.
func (x *index) align(frame []byte, offset int64) []region {
	a := &aligner{index: x, frame: frame}
	if offset < int64(len(x.base)) {
		a.begin(region{0, 0, offset})
	}
	for i := 0; i < len(frame); {
		i = a.next(i)
	}
	a.end(a.forward(len(frame)))
	return a.regions
}

func (a *aligner) begin(r region) {
	a.open, a.cur, a.shift = true, r, r.old-int64(r.at)
}

// next looks at position i and returns the one to look at after it.
func (a *aligner) next(i int) int {
	if a.open {
		if o := int64(i) + a.shift; o < int64(len(a.base)) {
			if n := equal(a.frame[i:], a.base[o:]); n >= 32 || n == len(a.frame)-i {
				return i + n + 1
			}
		}
	}
	if i+window > len(a.frame) {
		return i + 1
	}
	h, ok := hashWindow(a.frame[i:])
	if !ok {
		return i + 1
	}
	best := region{}
	for _, p := range a.table[2*(h>>a.index.shift):][:2] {
		if p == 0 {
			continue
		}
		old := int64(p-1) * step
		if a.open && old-int64(i) == a.shift {
			continue
		}
		n := equal(a.frame[i:], a.base[old:])
		if n < window {
			continue
		}
		back := equalBack(a.frame[a.cur.at:i], a.base[:old])
		if n+back > best.length {
			best = region{i - back, n + back, old - int64(back)}
		}
	}
	if best.length == 0 || best.length <= a.score(best.at, best.length)+gain {
		return i + 1
	}
	a.accept(best)
	return best.at + best.length
}

// score counts the bytes that the open alignment gets right.
func (a *aligner) score(at, length int) int {
	if !a.open {
		return 0
	}
	n := 0
	for j := at; j < at+length; j++ {
		if o := int64(j) + a.shift; o < int64(len(a.base)) && a.base[o] == a.frame[j] {
			n++
		}
	}
	return n
}

// accept ends the open alignment and begins another one, both reaching as far as more than half of their bytes are right.
func (a *aligner) accept(r region) {
	start := a.backward(r)
	split := a.forward(r.at)
	if split > start {
		start = a.split(start, split, r.old-int64(r.at))
		split = start
	}
	a.end(split)
	a.begin(region{start, 0, r.old - int64(r.at-start)})
}

// backward returns where r, whose bytes are equal, should start.
func (a *aligner) backward(r region) int {
	best, at, score := r.at, r.at, 0
	most := 0
	for at > a.cur.at && r.old-int64(r.at-at) > 0 && score > most-64 {
		at--
		if a.frame[at] == a.base[r.old-int64(r.at-at)] {
			score++
		} else {
			score--
		}
		if score > most {
			best, most = at, score
		}
	}
	return best
}

// forward returns where the open alignment should end, before limit.
func (a *aligner) forward(limit int) int {
	if !a.open {
		return a.cur.at
	}
	base := a.base[min(int64(len(a.base)), a.cur.old):]
	frame := a.frame[a.cur.at:limit]
	best, score, most := 0, 0, 0
	for i := 0; i < len(frame) && i < len(base); {
		if n := equal(frame[i:], base[i:]); n > 0 {
			i += n
			if score += n; score > most {
				best, most = i, score
			}
			continue
		}
		score--
		i++
	}
	return a.cur.at + best
}

// split returns where, from start to end, the open alignment should give way to the other one.
func (a *aligner) split(start, end int, shift int64) int {
	best, score, most := start, 0, 0
	for i := start; i < end; i++ {
		if a.frame[i] == a.base[int64(i)+a.shift] {
			score++
		}
		if a.frame[i] == a.base[int64(i)+shift] {
			score--
		}
		if score > most {
			best, most = i+1, score
		}
	}
	return best
}

func (a *aligner) end(at int) {
	if a.open && at > a.cur.at {
		a.cur.length = at - a.cur.at
		a.regions = append(a.regions, a.cur)
	}
	a.cur.at = at
}
