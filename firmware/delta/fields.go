package delta

import "encoding/binary"

// fields codes the bytes of a region in terms of the base's bytes at the same place. Most are equal. Of those that are
// not, most belong to a field of 32 bits (an address, an offset, an index) that moved with what it points to: its
// difference was seen before, at another field that points to the same place, or just lately.
type fields struct {
	flag   [7][]prob
	sym    []prob
	bytes  []prob
	mix    *mixer
	rel    []moved // by where a field points to, as an offset from itself
	abs    []moved // by what a field holds
	recent [recentFields]uint32

	hist                uint32 // the last eight bytes: 1 where they differed
	since, gap, gap2    uint32 // bytes since the last difference began; how far apart the ones before were
	lastSym, beforeLast uint32
}

const (
	recentFields = 31
	flagBits     = 13
	fieldBits    = 14
	flagLimit    = 255
)

// moved is what became of the thing with a key: how far it moved.
type moved struct {
	key, by uint32
}

func newFields() *fields {
	f := &fields{sym: newProbs(1 << 16), bytes: newProbs(1 << 16), mix: newMixer(9), rel: make([]moved, 1<<fieldBits), abs: make([]moved, 1<<fieldBits)}
	for i := range f.flag {
		f.flag[i] = newProbs(1 << flagBits)
	}
	return f
}

func (f *fields) reset() {
	for i := range f.flag {
		clearProbs(f.flag[i])
	}
	clearProbs(f.sym)
	clearProbs(f.bytes)
	f.mix.reset()
	clear(f.rel)
	clear(f.abs)
	clear(f.recent[:])
	f.restart()
	f.lastSym, f.beforeLast = 0, 0
}

// restart forgets where the last differences were.
func (f *fields) restart() {
	f.hist, f.since, f.gap, f.gap2 = 0, 63, 63, 63
}

func hashTo(x uint32, bits uint) uint32 {
	x *= 0x9E3779B1
	x ^= x >> 15
	return x * 0x85EBCA77 >> (32 - bits)
}

// What is known of the field that may begin at a byte: nothing, that it stays, that it moves; by either table.
const (
	unknown = iota
	stays
	moves
)

// code codes frame[at:end], which holds the base's bytes, those at offset old, and holds the image's afterwards. want has
// the image's bytes of the frame when encoding. Of the frame before at, all is the image's.
func (f *fields) code(c *coder, frame []byte, at, end int, old, image int64, want []byte) {
	shift := uint32(image + int64(at) - old) // how far the region moved, of which only the difference between two matters
	where := uint32(old) - uint32(at)        // of frame[0], were it all in this region
	var p1, p2, p3 uint32
	if at >= 3 {
		p1, p2, p3 = uint32(frame[at-1]), uint32(frame[at-2]), uint32(frame[at-3])
	}
	pend, pendField := at-4, uint32(0)
	for i := at; i < end; {
		o := frame[i]
		var relBy, absBy uint32
		var rel, abs, field, target uint32
		whole := i+4 <= end
		if whole {
			field = binary.LittleEndian.Uint32(frame[i:])
			target = where + uint32(i) + field
			if m := f.rel[hashTo(target, fieldBits)]; m.key == target {
				relBy = m.by - shift
				rel = stays
				if relBy != 0 {
					rel = moves
				}
			}
			if m := f.abs[hashTo(field, fieldBits)]; m.key == field {
				absBy = m.by
				abs = stays
				if absBy != 0 {
					abs = moves
				}
			}
		}
		st := rel + 3*abs
		differs := 0
		if c.encoding && want[i] != o {
			differs = 1
		}
		quick := &f.flag[6][hashTo(st|p1<<8|f.since<<16|min(f.gap, 63)<<22|3<<30, flagBits)]
		if q := quick.p(); q < 1000 && st != 2 {
			differs = c.bit(differs, q)
			quick.update(differs, flagLimit)
		} else {
			al := (where + uint32(i)) & 7
			m := f.mix
			m.probs[0] = &f.flag[0][hashTo(f.hist&0xff|p1<<8|f.gap<<16|f.since<<24, flagBits)]
			m.probs[1] = &f.flag[1][hashTo(p1|p2<<8|p3<<16|1<<28, flagBits)]
			m.probs[2] = &f.flag[2][hashTo(f.since|f.gap<<6|f.gap2<<12|2<<28, flagBits)]
			m.probs[3] = &f.flag[3][hashTo(uint32(o)|p1<<8|p2<<16|3<<28, flagBits)]
			m.probs[4] = &f.flag[4][hashTo(st|p1<<8|p2<<16|4<<28, flagBits)]
			m.probs[5] = &f.flag[5][hashTo(al|st<<4|f.since<<8|5<<28, flagBits)]
			differs = m.code(c, differs, st, flagLimit)
			quick.update(differs, flagLimit)
		}
		if differs == 0 {
			f.hist <<= 1
			f.since = min(f.since+1, 63)
			p1, p2, p3 = uint32(o), p1, p2
			i++
			if i == pend+4 {
				f.learn(frame, pend, pendField, where, shift)
			}
			continue
		}
		f.gap, f.gap2 = f.since, f.gap
		by, known := uint32(0), false
		if whole && i >= pend+4 {
			if c.encoding {
				by = binary.LittleEndian.Uint32(want[i:]) - field
			}
			by, known = f.codeMove(c, by, st, relBy, absBy, p1)
			if !known {
				pend, pendField = i, field
			}
		}
		if !known {
			b := 0
			if c.encoding {
				b = int(want[i])
			}
			frame[i] = byte(codeTree(c, f.bytes[uint32(o)<<8:], b, 8, flagLimit))
			p1, p2, p3 = uint32(frame[i]), p1, p2
			f.hist = f.hist<<1 | 1
			f.since = 1
			i++
			if i == pend+4 {
				f.learn(frame, pend, pendField, where, shift)
			}
			continue
		}
		binary.LittleEndian.PutUint32(frame[i:], field+by)
		p1, p2, p3 = uint32(frame[i+3]), uint32(frame[i+2]), uint32(frame[i+1])
		f.rel[hashTo(target, fieldBits)] = moved{target, by + shift}
		f.abs[hashTo(field, fieldBits)] = moved{field, by}
		f.hist = f.hist<<4 | 0xf
		f.since = 4
		i += 4
	}
}

// learn remembers the field at i, of which all bytes are known now.
func (f *fields) learn(frame []byte, i int, field, where, shift uint32) {
	by := binary.LittleEndian.Uint32(frame[i:]) - field
	target := where + uint32(i) + field
	f.rel[hashTo(target, fieldBits)] = moved{target, by + shift}
	f.abs[hashTo(field, fieldBits)] = moved{field, by}
	f.remember(by)
}

// codeMove codes how far a field moved, or that this is not a field which moved as another one did.
func (f *fields) codeMove(c *coder, by, st, relBy, absBy, p1 uint32) (uint32, bool) {
	ctx := st<<8 | p1
	if st%3 == moves {
		right := b2i(c.encoding && by == relBy)
		p := &f.sym[hashTo(ctx|f.lastSym<<12|1<<30, 14)]
		right = c.bit(right, p.p())
		p.update(right, flagLimit)
		if right == 1 {
			f.used(relBy, 32)
			return relBy, true
		}
	}
	if st/3 == moves {
		right := b2i(c.encoding && by == absBy)
		p := &f.sym[1<<14+hashTo(ctx|f.lastSym<<12|2<<30, 14)]
		right = c.bit(right, p.p())
		p.update(right, flagLimit)
		if right == 1 {
			f.used(absBy, 33)
			return absBy, true
		}
	}
	k := 0
	if c.encoding {
		for j, r := range f.recent {
			if r == by {
				k = j + 1
				break
			}
		}
	}
	k = codeTree(c, f.sym[1<<15+hashTo(f.lastSym|f.beforeLast<<6|st%3<<12, 10)<<5:], k, 5, flagLimit)
	if k == 0 {
		f.beforeLast, f.lastSym = f.lastSym, 0
		return 0, false
	}
	by = f.recent[k-1]
	f.used(by, uint32(k))
	return by, true
}

// used moves a difference to the front of the recent ones.
func (f *fields) used(by, sym uint32) {
	f.beforeLast, f.lastSym = f.lastSym, sym
	f.remember(by)
}

func (f *fields) remember(by uint32) {
	k := 0
	for k < recentFields-1 && f.recent[k] != by {
		k++
	}
	copy(f.recent[1:k+1], f.recent[:k])
	f.recent[0] = by
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// codeTree codes an integer of n bits, most significant first, each by the bits before it; ps has 2^n probabilities.
func codeTree(c *coder, ps []prob, v, n int, limit prob) int {
	node := 1
	for i := n - 1; i >= 0; i-- {
		p := &ps[node]
		bit := c.bit(v>>i&1, p.p())
		p.update(bit, limit)
		node = node<<1 | bit
	}
	return node - 1<<n
}
