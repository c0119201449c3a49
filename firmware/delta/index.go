package delta

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
)

const (
	lookahead = 16      // bytes from which a key is made
	ways      = 4       // places that the index keeps of windows with the same hash
	maxPlaces = 3 << 25 // that the index is made for
)

// pace is how short the equal bytes are that are looked for.
type pace struct {
	window int // bytes that are hashed, 8 to 16
	gain   int // equal bytes that another alignment must have more
	giveUp int // wrong bytes more than right ones after which an alignment is left,
	again  int // and equal bytes by which it is taken up again
}

var (
	// wide is for what compresses: there a short equal run costs more to name than to code.
	wide = pace{window: 16, gain: 12, giveUp: 24, again: 16}
	// narrow is for what is compressed already, where each byte that is not found costs eight bits.
	narrow = pace{window: 9, gain: 8, giveUp: 8, again: 6}
)

// paceOf looks at a sample of a base. Programs and file systems take 0.35 to 0.57 of their length, erofs with LZ4 0.8.
func paceOf(base []byte) (pace, error) {
	const piece, pieces = 32 << 10, 64
	z, err := firmware.NewQuickCompressor(piece)
	if err != nil {
		return wide, err
	}
	defer z.Close()
	plain, coded := 0, 0
	for at, step := 0, max(piece, len(base)/pieces); at < len(base); at += step {
		b := base[at:min(at+piece, len(base))]
		if zeros(b) == len(b) {
			continue
		}
		plain, coded = plain+len(b), coded+min(len(b), len(z.Compress(b)))
	}
	if coded*10 > plain*7 {
		return narrow, nil
	}
	return wide, nil
}

// index finds equal bytes in the base. Of all windows it knows a sample, chosen by their first eight bytes, so that what
// is looked up needs be no more than the same sample.
type index struct {
	base []byte
	pace
	sample uint64 // mask: windows whose mixed bytes have zeros there are known
	grain  int64  // positions are multiples of it; above 1 only where 32 bits do not suffice
	shift  uint
	memory []byte
	tags   []uint32       // by hash: a byte of the rest of the hash for each way, 0 if it is free
	places [][ways]uint32 // position / grain
}

func newIndex(ctx context.Context, base []byte) (*index, error) {
	pace, err := paceOf(base)
	if err != nil {
		return nil, err
	}
	x := &index{base: base, pace: pace, grain: 1}
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
	for at := 0; at+lookahead <= len(base); at++ {
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
	b := binary.LittleEndian.Uint64(p[8:lookahead])
	key = (key ^ key>>32 ^ b<<(8*(lookahead-x.window))*0xC2B2AE3D27D4EB4F) * 0xD6E8FEB86659FD93
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
