package delta

import (
	"encoding/binary"
	"math/bits"
)

// fields codes the bytes of a region in terms of the base's bytes at the same place. Most are equal. Of those that are
// not, most belong to a field of 32 bits (an address, an offset, an index) that moved with what it points to. How far it
// moved was seen before: at another field that points to the same place, at one that held the same, or just lately. So
// executables need no disassembler, whatever their machine, and neither do tables.
//
// A region is coded as gaps and changes by turns. A gap is the number of bytes that stay; how long it is comes from where
// the next field is that is known to move, from where the bytes around look like those around earlier changes (behind the
// code of a call, say), and from how long the last gaps were. A change is a field: it moves by a difference that is known,
// or some of its bytes are spelled, and it is known afterwards.
type fields struct {
	gaps  [2][]nibble
	kinds [2][]nibble
	older [2][]nibble // which of the moves that are not so recent
	bytes *byteModel

	rel    [1 << moveBits]move // by the place in the base that a field points to, as an offset from itself
	abs    [1 << moveBits]move // by what a field holds
	recent [recentMoves]uint32 // the last different moves
	prone  [1 << 16]uint8      // to change, of 255: by the byte before a field and its last one

	// Within a region.
	shift, where   uint32 // new place less old place; old place less offset in the frame
	since, gap     uint32 // bytes since the last change, and how many they were before it
	last, before   uint32 // the kinds of the last changes
	seenFrom, seen int    // the bytes of which the two know
	moving, likely uint64 // a bit for each: a field that is known to move begins there; one that looks like it
}

const (
	gapMost     = 15 // a gap of which that many bytes stay goes on
	farSince    = 63
	lookAhead   = 32
	recentMoves = 3 + 2*16
	moveBits    = 12
	proneAt     = 144
	gapBits     = 11
	kindBits    = 10
)

// Kinds of changes. Below kindRel the kind has a bit for each of the last three bytes of the field that changes as well.
const (
	kindRel    = 8 + iota // moves as another that points to the same place
	kindAbs               // moves as another that held the same
	kindRecent            // moves as one of the last three
	kindOlder  = kindRecent + 3
	kindOldest = kindOlder + 1
)

// move is what became of the thing with a key: by how much it moved.
type move struct{ key, by uint32 }

func newFields() *fields {
	return &fields{
		gaps:  [2][]nibble{make([]nibble, 1<<11), make([]nibble, 1<<gapBits)},
		kinds: [2][]nibble{make([]nibble, 1<<8), make([]nibble, 1<<kindBits)},
		older: [2][]nibble{make([]nibble, 2), make([]nibble, 2*16)},
		bytes: newByteModel(),
	}
}

// reset makes the fields those of a new frame.
func (f *fields) reset() {
	for i := range 2 {
		clearNibbles(f.gaps[i], 0)
		clearNibbles(f.kinds[i], 0)
		clearNibbles(f.older[i], 0)
	}
	f.bytes.reset()
	clear(f.rel[:])
	clear(f.abs[:])
	clear(f.recent[:])
	clear(f.prone[:])
	f.last, f.before = 0, 0
}

// code codes frame[at:end], which holds the base's bytes from offset old on, and the image's afterwards. The frame lies at
// offset image of the image; before at, all of it is the image's. When encoding, want has the image's bytes of the frame.
func (f *fields) code(c *coder, frame []byte, at, end int, old, image int64, want []byte) {
	f.shift, f.where = uint32(image+int64(at)-old), uint32(old)-uint32(at)
	f.since, f.gap = farSince, farSince
	f.seenFrom, f.seen, f.moving, f.likely = at, at, 0, 0
	for i := at; i < end; {
		f.look(frame, i, end)
		n := gapMost
		if c.encoding {
			if n = equal(frame[i:min(i+gapMost, end)], want[i:]); i+n == end {
				n = gapMost // or more
			}
		}
		n = f.codeGap(c, i, n)
		f.spared(frame, i, n)
		f.since = min(f.since+uint32(n), farSince)
		i += n
		if n < gapMost && i < end {
			i = f.change(c, frame, i, end, want)
		}
	}
}

// look makes known what there is to know of the fields that begin in the next gapMost bytes.
func (f *fields) look(frame []byte, i, end int) {
	if f.seen >= i+gapMost {
		return
	}
	f.moving >>= i - f.seenFrom
	f.likely >>= i - f.seenFrom
	f.seenFrom = i
	j, stop := max(i, f.seen), min(i+lookAhead, end-3)
	if j >= stop {
		f.seen = j
		return
	}
	before, shift, where := uint16(previous(frame, j)), f.shift, f.where+uint32(j)
	var moving, likely uint64
	bit := uint64(1) << (j - i)
	for rest := frame[j : stop+3]; len(rest) >= 4; rest = rest[1:] {
		field := binary.LittleEndian.Uint32(rest)
		target := where + field
		rel, abs := &f.rel[slot(target)], &f.abs[slot(field)]
		if rel.key == target && rel.by != shift || abs.key == field && abs.by != 0 {
			moving |= bit
		}
		if f.prone[before<<8|uint16(field>>24)] >= proneAt {
			likely |= bit
		}
		before = uint16(field & 255)
		bit <<= 1
		where++
	}
	f.moving |= moving
	f.likely |= likely
	f.seen = stop
}

func slot(key uint32) uint32 { return key * 0x9E3779B1 >> (32 - moveBits) }

// codeGap codes how many bytes from i on stay.
func (f *fields) codeGap(c *coder, i, n int) int {
	moving := uint32(bits.TrailingZeros64(f.moving>>(i-f.seenFrom) | 1<<gapMost))
	likely := uint32(bits.TrailingZeros64(f.likely>>(i-f.seenFrom) | 1<<gapMost))
	column := (f.where + uint32(i)) & 7
	since := uint32(bits.Len32(f.since))
	a := &f.gaps[0][moving|likely<<4|since<<8]
	b := &f.gaps[1][hashTo(f.last|column<<4|since<<7|uint32(bits.Len32(f.gap))<<10, gapBits)]
	return c.nibble(n, a, b)
}

// spared learns that n bytes from i on stay.
func (f *fields) spared(frame []byte, i, n int) {
	wrong := f.likely >> (i - f.seenFrom) & (1<<n - 1)
	for ; wrong != 0; wrong &= wrong - 1 {
		p := f.proneness(frame, i+bits.TrailingZeros64(wrong))
		*p -= *p >> 4
	}
}

// proneness is that of the field at i.
func (f *fields) proneness(frame []byte, i int) *uint8 {
	return &f.prone[previous(frame, i)<<8|uint32(frame[i+3])]
}

// previous is the byte before i, 0 at the start of a frame.
func previous(frame []byte, i int) uint32 {
	if i == 0 {
		return 0
	}
	return uint32(frame[i-1])
}

// guess is what is known of the field that begins at a byte.
type guess struct {
	whole    bool   // it lies in the region
	field    uint32 // what it holds in the base
	target   uint32 // the place in the base that it points to if it is an offset from itself
	rel, abs uint32 // by how much it moves, by either table; 0 if it stays or is not there
	known    uint32 // 0 unknown, 1 stays, 2 moves, by rel, and 3 times that by abs
}

func (f *fields) guess(frame []byte, i, end int) (g guess) {
	if i+4 > end {
		return g
	}
	g.whole, g.field = true, binary.LittleEndian.Uint32(frame[i:])
	g.target = f.where + uint32(i) + g.field
	if m := f.rel[slot(g.target)]; m.key == g.target {
		g.rel = m.by - f.shift
		g.known = 1 + uint32(b2i(g.rel != 0))
	}
	if m := f.abs[slot(g.field)]; m.key == g.field {
		g.abs = m.by
		g.known += 3 + 3*uint32(b2i(g.abs != 0))
	}
	return g
}

// change codes the field that begins at i, of which the first byte changes. It returns where that ends.
func (f *fields) change(c *coder, frame []byte, i, end int, want []byte) int {
	f.gap, f.since = f.since, 0
	g := f.guess(frame, i, end)
	if g.whole {
		p := f.proneness(frame, i)
		*p += (255 - *p) >> 3
	}
	var by uint32
	var kind int
	if c.encoding {
		kind, by = f.choose(frame, want, i, end, g)
	}
	ctx := g.known | f.last<<4
	kind = c.nibble(kind, &f.kinds[0][ctx], &f.kinds[1][hashTo(ctx|f.before<<8|previous(frame, i)<<12, kindBits)])
	f.before, f.last = f.last, uint32(kind)
	if kind < kindRel || !g.whole {
		return f.spell(c, frame, i, end, kind, g, want)
	}
	by = f.codeMove(c, kind, by, g)
	binary.LittleEndian.PutUint32(frame[i:], g.field+by)
	f.enter(g, by)
	return i + 4
}

// choose is the encoder's: what kind of change it is, and by how much the field moves.
func (f *fields) choose(frame, want []byte, i, end int, g guess) (kind int, by uint32) {
	if g.whole {
		by = binary.LittleEndian.Uint32(want[i:]) - g.field
		switch by {
		case g.rel:
			return kindRel, by
		case g.abs:
			return kindAbs, by
		}
		for k, r := range f.recent {
			if r == by {
				return kindRecent + min(k, 3+(k-3)>>4), by
			}
		}
	}
	for j := i + 1; j < min(i+4, end); j++ {
		kind |= b2i(frame[j] != want[j]) << (j - i - 1)
	}
	return kind, by
}

// codeMove returns by how much a field moves, of which the kind of change is known.
func (f *fields) codeMove(c *coder, kind int, by uint32, g guess) uint32 {
	switch kind {
	case kindRel:
		return g.rel
	case kindAbs:
		return g.abs
	case kindOlder, kindOldest:
		which := kind - kindOlder
		some := f.recent[3+which*16:][:16]
		k := 0
		for c.encoding && some[k] != by {
			k++
		}
		return some[c.nibble(k, &f.older[0][which], &f.older[1][uint32(which)<<4|f.before])]
	case kindRecent, kindRecent + 1, kindRecent + 2:
		return f.recent[kind-kindRecent]
	}
	return 0
}

// spell codes bytes of the field at i: the first, and those of the last three that the kind names.
func (f *fields) spell(c *coder, frame []byte, i, end, kind int, g guess, want []byte) int {
	stop := min(i+4, end)
	for j, which := i, kind<<1|1; j < stop; j, which = j+1, which>>1 {
		if which&1 == 0 {
			continue
		}
		var b byte
		if c.encoding {
			b = want[j]
		}
		frame[j] = f.bytes.code(c, b, uint32(frame[j]), previous(frame, j))
	}
	if g.whole {
		f.enter(g, binary.LittleEndian.Uint32(frame[i:])-g.field)
	}
	return stop
}

// enter remembers what became of a field.
func (f *fields) enter(g guess, by uint32) {
	f.rel[slot(g.target)] = move{g.target, by + f.shift}
	f.abs[slot(g.field)] = move{g.field, by}
	k := 0
	for k < recentMoves-1 && f.recent[k] != by {
		k++
	}
	copy(f.recent[1:k+1], f.recent[:k])
	f.recent[0] = by
}
