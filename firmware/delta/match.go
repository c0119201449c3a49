package delta

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	window    = 16      // bytes that are hashed
	gain      = 12      // equal bytes that another alignment must have more
	minCopy   = 512     // equal bytes that are worth a copy among differences
	ways      = 4       // places that the index keeps of windows with the same hash
	maxPlaces = 3 << 25 // that the index is made for
)

// region is a part of a frame that lies at some place of the base, most of it equal.
type region struct {
	at, length int   // within the frame
	old        int64 // within the base
}

// index finds equal bytes in the base. Of all windows it knows a sample, chosen by their first eight bytes, so that what
// is looked up needs be no more than the same sample.
type index struct {
	base   []byte
	sample uint64 // mask: windows whose mixed bytes have zeros there are known
	grain  int64  // positions are multiples of it; above 1 only where 32 bits do not suffice
	shift  uint
	memory []byte
	tags   []uint32       // by hash: a byte of the rest of the hash for each way, 0 if it is free
	places [][ways]uint32 // position / grain
}

func newIndex(ctx context.Context, base []byte) (*index, error) {
	x := &index{base: base, grain: 1}
	for int64(len(base))/x.grain > math.MaxUint32 {
		x.grain *= 2
	}
	places := len(base)
	for ; places > maxPlaces; places /= 2 {
		x.sample = x.sample<<1 | 1
	}
	log := max(10, bits.Len(uint(places/ways)))
	x.shift = uint(64 - log)
	if err := x.allocate(1 << log); err != nil {
		return nil, fmt.Errorf("index the base: %w", err)
	}
	for at := 0; at+window <= len(base); at++ {
		if at%(64<<20) == 0 && ctx.Err() != nil {
			x.close()
			return nil, ctx.Err()
		}
		if key, ok := x.key(base[at:]); ok && int64(at)%x.grain == 0 {
			x.enter(key, uint32(int64(at)/x.grain))
		}
	}
	return x, nil
}

func (x *index) close() { _ = unix.Munmap(x.memory) }

// allocate takes memory in large pages where there are any: every look into it is at another place.
func (x *index) allocate(buckets int) error {
	memory, err := unix.Mmap(-1, 0, buckets*4*(1+ways), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	p := unsafe.Pointer(unsafe.SliceData(memory))
	x.memory, x.tags = memory, unsafe.Slice((*uint32)(p), buckets)
	x.places = unsafe.Slice((*[ways]uint32)(unsafe.Add(p, 4*buckets)), buckets)
	return nil
}

// key is the hash of the window at the front of p; ok is false if it is not in the sample, or a run of one pattern of eight
// bytes, which lies everywhere.
func (x *index) key(p []byte) (key uint64, ok bool) {
	a := binary.LittleEndian.Uint64(p)
	key = a * 0x9E3779B97F4A7C15
	if key>>40&x.sample != 0 {
		return 0, false
	}
	b := binary.LittleEndian.Uint64(p[8:window])
	key = (key ^ key>>32 ^ b*0xC2B2AE3D27D4EB4F) * 0xD6E8FEB86659FD93
	return key, a != b
}

// enter remembers a place. Where there are too many, the last way is the newest.
func (x *index) enter(key uint64, place uint32) {
	bucket := key >> x.shift
	tags := &x.tags[bucket]
	for way := range ways {
		if *tags>>(8*way)&0xff == 0 || way == ways-1 {
			*tags = *tags&^(0xff<<(8*way)) | tag(key)<<(8*way)
			x.places[bucket][way] = place
			return
		}
	}
}

// tag tells apart most windows of one bucket.
func tag(key uint64) uint32 { return uint32(key)>>8&0xff | 1 }

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
	a.run()
	a.end(a.forward(len(frame)))
	return a.regions
}

func (a *aligner) begin(r region) {
	a.open, a.cur, a.shift = true, r, r.old-int64(r.at)
}

// run goes through the frame.
func (a *aligner) run() {
	for i := 0; i+window <= len(a.frame); {
		if n := a.aligned(i); n >= 32 {
			i += n + 1
			continue
		}
		key, ok := a.key(a.frame[i:])
		if !ok {
			i++
			continue
		}
		r := a.lookUp(key, i)
		if r.length == 0 || r.length <= a.score(r.at, r.length)+gain {
			i++
			continue
		}
		a.accept(r)
		i = r.at + r.length
	}
}

// aligned counts how many bytes from i on the open alignment has right.
func (a *aligner) aligned(i int) int {
	o := int64(i) + a.shift
	if !a.open || o+8 > int64(len(a.base)) || binary.LittleEndian.Uint64(a.frame[i:]) != binary.LittleEndian.Uint64(a.base[o:]) {
		return 0
	}
	return equal(a.frame[i:], a.base[o:])
}

// lookUp returns the longest of the known equal regions around the window at i.
func (a *aligner) lookUp(key uint64, i int) region {
	bucket := key >> a.index.shift
	tags, want := a.tags[bucket], tag(key)
	best := region{}
	for way := range ways {
		if tags>>(8*way)&0xff != want {
			continue
		}
		old := int64(a.places[bucket][way]) * a.grain
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
	return best
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
