package delta

import "encoding/binary"

// fields codes the bytes of a region in terms of the base's bytes at the same place. Most are equal. Of those that are
// not, most belong to a field of 32 bits (an address, an offset, an index) that moved with what it points to. How far it
// moved was seen before: at another field that points to the same place, at one that held the same, or just lately. So
// executables need no disassembler, whatever their machine, and neither do tables.
//
// For every byte, a bit says whether it differs; its probability comes from what is known of the field that may begin
// there, from the bytes around it, and from the distances between the last differences. Where it differs, either a field
// of 32 bits moves by a known difference, or the byte is coded by itself. A field coded by its bytes is known afterwards.
type fields struct {
	differs    [4][]prob
	differsMix mixer
	moved      []prob
	bytes      *byteModel

	same  []prob // of a block
	known [blockSize]uint8

	rel    []move // by the place in the base that a field points to, as an offset from itself
	abs    []move // by what a field holds
	recent [recentMoves]uint32

	// Within a region.
	shift, where uint32 // new place less old place; old place less offset in the frame
	p1, p2       uint32 // the bytes before
	spelled      int    // where the field began that is coded by its bytes
	spelledField uint32 // what it held in the base
	since        uint32 // bytes since the last difference began
	gap, gap2    uint32 // how far apart the ones before were

	lastMove, moveBefore uint32 // which of the known ones
}

const (
	recentMoves = 31
	differsBits = 12
	movedBits   = 14
	moveBits    = 12
	fieldLimit  = 127
	farSince    = 63
	recordSize  = 24 // of a relocation with addend in 64-bit ELF, the most frequent of large records
	seldom      = 1000
	blockSize   = 16
)

// move is what became of the thing with a key: by how much it moved.
type move struct{ key, by uint32 }

func newFields() *fields {
	f := &fields{
		differsMix: newMixer(9), bytes: newByteModel(1), moved: newProbs(3 << movedBits), same: newProbs(64),
		rel: make([]move, 1<<moveBits), abs: make([]move, 1<<moveBits),
	}
	for i := range f.differs {
		f.differs[i] = newProbs(1 << differsBits)
	}
	return f
}

// reset makes the fields those of a new frame.
func (f *fields) reset() {
	for i := range f.differs {
		clearProbs(f.differs[i])
	}
	clearProbs(f.moved)
	clearProbs(f.same)
	f.differsMix.reset()
	f.bytes.reset()
	clear(f.rel)
	clear(f.abs)
	clear(f.recent[:])
	f.since, f.gap, f.gap2 = farSince, farSince, farSince
	f.lastMove, f.moveBefore = 0, 0
}

// What is known of a field in one of the tables.
const (
	unknown = iota
	stays
	moves
)

// guess is what is known of the field that begins at a byte.
type guess struct {
	whole    bool   // it lies in the region
	field    uint32 // what it holds in the base
	target   uint32 // the place in the base that it points to if it is an offset from itself
	rel, abs uint32 // by how much it moves, by either table
}

func (f *fields) guess(frame []byte, i, end int) (g guess) {
	if i+4 > end {
		return g
	}
	g.whole, g.field = true, binary.LittleEndian.Uint32(frame[i:])
	g.target = f.where + uint32(i) + g.field
	if m := f.rel[slot(g.target)]; m.key == g.target {
		g.rel = m.by - f.shift
	}
	if m := f.abs[slot(g.field)]; m.key == g.field {
		g.abs = m.by
	}
	return g
}

func slot(key uint32) uint32 { return key * 0x9E3779B1 >> (32 - moveBits) }

// look notes what is known of the fields that begin at the bytes of a block: unknown, stays or moves by rel, and 3 times
// the same by abs. It returns how many are known to stay, and whether any is known to move.
func (f *fields) look(block []byte, i, end int) (still uint32, moving bool) {
	clear(f.known[:])
	n := min(blockSize, end-i-3)
	for j := 0; j < n; j++ {
		field := binary.LittleEndian.Uint32(block[j:])
		target := f.where + uint32(i+j) + field
		known := uint8(unknown)
		if m := &f.rel[slot(target)]; m.key == target {
			known = stays
			if m.by != f.shift {
				known = moves
			}
		}
		if m := &f.abs[slot(field)]; m.key == field {
			if m.by == 0 {
				known += 3 * stays
			} else {
				known += 3 * moves
			}
		}
		if known != unknown {
			f.known[j] = known
			if known == stays || known == 3*stays || known == 4*stays {
				still++
			} else {
				moving = true
			}
		}
	}
	return still, moving
}

// code codes frame[at:end], which holds the base's bytes from offset old on, and the image's afterwards. The frame lies at
// offset image of the image; before at, all of it is the image's. When encoding, want has the image's bytes of the frame.
func (f *fields) code(c *coder, frame []byte, at, end int, old, image int64, want []byte) {
	f.begin(frame, at, old, image)
	for i := at; i < end; {
		stop := min(i+blockSize, end)
		still, moving := f.look(frame[i:end], i, end)
		if !moving && f.since >= blockSize && f.spelled+4 <= i {
			p := &f.same[min(still, 3)|f.since>>5<<2|f.gap>>4<<3]
			same := b2i(c.encoding && string(frame[i:stop]) == string(want[i:stop]))
			if same = c.bit(same, p.p()); same != 0 {
				p.update(1, fieldLimit)
				i = stop
				f.p1, f.p2 = uint32(frame[i-1]), uint32(frame[max(i-2, 0)])
				f.since = min(f.since+blockSize, farSince)
				continue
			}
			p.update(0, fieldLimit)
		}
		i = f.block(c, frame, i, stop, end, want)
	}
}

// block codes the bytes of a block one by one. It returns where it ended: a field may lie beyond.
func (f *fields) block(c *coder, frame []byte, i, stop, end int, want []byte) int {
	for begin := i; i < stop; {
		before := frame[i]
		known := uint32(f.known[i-begin])
		if f.codeDiffers(c, i, uint32(before), known, c.encoding && want[i] != before) {
			i = f.change(c, frame, i, end, known, want)
		} else {
			f.p1, f.p2 = uint32(before), f.p1
			f.since = min(f.since+1, farSince)
			i++
		}
		if i == f.spelled+4 {
			f.learn(frame)
		}
	}
	return i
}

func (f *fields) begin(frame []byte, at int, old, image int64) {
	f.shift, f.where = uint32(image+int64(at)-old), uint32(old)-uint32(at)
	f.p1, f.p2 = 0, 0
	if at >= 2 {
		f.p1, f.p2 = uint32(frame[at-1]), uint32(frame[at-2])
	}
	f.spelled = at - 5
	f.since, f.gap, f.gap2 = farSince, farSince, farSince
}

func (f *fields) codeDiffers(c *coder, i int, before, known uint32, differs bool) bool {
	bit := b2i(differs)
	first := &f.differs[0][hashTo(known|f.p1<<4|before<<12|f.since>>2<<20, differsBits)]
	if p := first.p(); p < seldom && known != moves {
		// Most bytes are such; mixing would tell little more of them.
		bit = c.bit(bit, p)
		first.update(bit, fieldLimit)
		return bit != 0
	}
	column := (f.where + uint32(i)) & 7
	return f.differsMix.code(c, bit, known, fieldLimit, first,
		&f.differs[1][hashTo(f.since|f.gap<<6|f.gap2<<12, differsBits)],
		&f.differs[2][hashTo(before|f.p1<<8|f.p2<<16, differsBits)],
		&f.differs[3][hashTo(column|known<<4|f.since<<8, differsBits)]) != 0
}

// change codes the byte at i, which differs, or the field that begins there. It returns where that ends.
func (f *fields) change(c *coder, frame []byte, i, end int, known uint32, want []byte) int {
	f.gap, f.gap2 = f.since, f.gap
	g := f.guess(frame, i, end)
	if g.whole && i >= f.spelled+4 {
		var by uint32
		if c.encoding {
			by = binary.LittleEndian.Uint32(want[i:]) - g.field
		}
		if by, ok := f.codeMove(c, by, known, &g); ok {
			binary.LittleEndian.PutUint32(frame[i:], g.field+by)
			f.p1, f.p2, f.since = uint32(frame[i+3]), uint32(frame[i+2]), 4
			f.enter(g.target, g.field, by)
			return i + 4
		}
		f.spelled, f.spelledField = i, g.field
	}
	var b byte
	if c.encoding {
		b = want[i]
	}
	f.codeByte(c, frame, i, b)
	f.p1, f.p2, f.since = uint32(frame[i]), f.p1, 1
	return i + 1
}

// learn remembers the field that was spelled, of which all bytes are known now.
func (f *fields) learn(frame []byte) {
	by := binary.LittleEndian.Uint32(frame[f.spelled:]) - f.spelledField
	f.enter(f.where+uint32(f.spelled)+f.spelledField, f.spelledField, by)
	f.remember(by)
}

func (f *fields) enter(target, field, by uint32) {
	f.rel[slot(target)] = move{target, by + f.shift}
	f.abs[slot(field)] = move{field, by}
}

// codeMove codes by how much a field moved, or that it is none which moved by a known difference.
func (f *fields) codeMove(c *coder, by, known uint32, g *guess) (uint32, bool) {
	ctx := known | f.p1<<4 | f.lastMove<<12
	if known%3 == moves && f.codeRight(c, by == g.rel, hashTo(ctx, movedBits)) {
		f.use(g.rel, recentMoves+1)
		return g.rel, true
	}
	if known/3 == moves && f.codeRight(c, by == g.abs, 1<<movedBits|hashTo(ctx, movedBits)) {
		f.use(g.abs, recentMoves+2)
		return g.abs, true
	}
	k := 0
	for j := 0; c.encoding && j < recentMoves && k == 0; j++ {
		if f.recent[j] == by {
			k = j + 1
		}
	}
	which := f.moved[2<<movedBits|hashTo(f.lastMove|f.moveBefore<<6|known%3<<12, movedBits-5)<<5:][:32]
	k = codeTree(c, which, k, 5, fieldLimit)
	if k == 0 {
		f.moveBefore, f.lastMove = f.lastMove, 0
		return 0, false
	}
	by = f.recent[k-1]
	f.use(by, uint32(k))
	return by, true
}

func (f *fields) codeRight(c *coder, right bool, ctx uint32) bool {
	p := &f.moved[ctx]
	bit := c.bit(b2i(right), p.p())
	p.update(bit, fieldLimit)
	return bit != 0
}

func (f *fields) use(by, which uint32) {
	f.moveBefore, f.lastMove = f.lastMove, which
	f.remember(by)
}

// remember moves a difference to the front of the recent ones.
func (f *fields) remember(by uint32) {
	k := 0
	for k < recentMoves-1 && f.recent[k] != by {
		k++
	}
	copy(f.recent[1:k+1], f.recent[:k])
	f.recent[0] = by
}

// codeByte codes a byte that is no part of a field which moved by a known difference: by the byte of the base, by the
// bytes before, and by those of the record above it.
func (f *fields) codeByte(c *coder, frame []byte, i int, b byte) {
	before := uint32(frame[i])
	var above, next uint32
	if i >= recordSize {
		above, next = uint32(frame[i-recordSize]), uint32(frame[i-recordSize+1])
	}
	frame[i] = f.bytes.code(c, b, 0, [4]uint32{before, before | f.p1<<8, f.p1 | f.p2<<8, above | next<<8 | f.p1<<16})
}
