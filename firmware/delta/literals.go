package delta

import "math/bits"

// literals codes bytes that have no counterpart in the base: as repetitions of what stands before them in the frame
// (Ziv and Lempel, 1977), and what does not repeat, byte by byte, as its neighbours make it likely.
type literals struct {
	bytes  *byteModel
	kind   []prob // literal or match, by what came before
	again  []prob // of a distance used lately
	which  []prob
	length [2]numbers
	slot   []prob
	low    []prob
	reps   [4]int // the last distances
	state  int    // the kinds of the last three
}

const (
	literalLimit = 255
	minMatch     = 3
	minAgain     = 2
)

// match says that length bytes are those at a distance before them.
type match struct {
	at, length, distance int
}

func newLiterals() *literals {
	l := &literals{bytes: newByteModel(), kind: newProbs(64), again: newProbs(64), which: newProbs(64 * 4),
		length: [2]numbers{newNumbers(), newNumbers()}, slot: newProbs(4 * 64), low: newProbs(64 * 16)}
	return l
}

func (l *literals) reset() {
	l.bytes.reset()
	for _, p := range [][]prob{l.kind, l.again, l.which, l.slot, l.low} {
		clearProbs(p)
	}
	l.length[0].reset()
	l.length[1].reset()
	l.reps = [4]int{1, 2, 4, 8}
	l.state = 0
}

// code codes frame[at:end]. When encoding, matches tell which parts repeat, and the frame has its bytes already. It fails
// if what it decodes is not possible.
func (l *literals) code(c *coder, frame []byte, at, end int, matches []match) bool {
	for at < end {
		isMatch := c.encoding && len(matches) > 0 && matches[0].at == at
		p := &l.kind[l.state]
		bit := c.bit(b2i(isMatch), p.p())
		p.update(bit, literalLimit)
		if bit == 0 {
			l.codeByte(c, frame, at)
			l.state = l.state << 1 & 7
			at++
			continue
		}
		var m match
		if isMatch {
			m, matches = matches[0], matches[1:]
		}
		length, distance := l.codeMatch(c, m)
		if distance < 1 || distance > at || length > end-at {
			return false
		}
		if !c.encoding {
			for i := range length {
				frame[at+i] = frame[at+i-distance]
			}
		}
		l.state = l.state<<1&7 | 1
		at += length
	}
	return true
}

// codeByte codes a byte by the one before, and by the one before that, or, after a repetition, by how that would go on.
func (l *literals) codeByte(c *coder, frame []byte, at int) {
	other := 2
	if l.state&1 != 0 {
		other = l.reps[0]
	}
	var before uint32
	if at >= other {
		before = uint32(frame[at-other])
	}
	frame[at] = l.bytes.code(c, frame[at], previous(frame, at), before)
}

func (l *literals) codeMatch(c *coder, m match) (length, distance int) {
	which := 4
	for i, d := range l.reps {
		if c.encoding && d == m.distance {
			which = i
			break
		}
	}
	p := &l.again[l.state]
	if bit := c.bit(b2i(which < 4), p.p()); bit == 1 {
		p.update(1, literalLimit)
		which = codeTree(c, l.which[l.state*4:], which, 2, literalLimit)
		distance = l.reps[which]
		length = int(l.length[1].code(c, uint64(max(m.length-minAgain, 0)))) + minAgain
	} else {
		p.update(0, literalLimit)
		which = 3
		length = int(l.length[0].code(c, uint64(max(m.length-minMatch, 0)))) + minMatch
		distance = l.codeDistance(c, m.distance-1, min(length-minMatch, 3)) + 1
	}
	copy(l.reps[1:which+1], l.reps[:which])
	l.reps[0] = distance
	return length, distance
}

// codeDistance codes a distance less 1: its size and second bit, the bits between, and its four lowest.
func (l *literals) codeDistance(c *coder, v, lengthClass int) int {
	slot := v
	if v >= 4 {
		n := bits.Len(uint(v))
		slot = 2*(n-1) | v>>(n-2)&1
	}
	slot = codeTree(c, l.slot[lengthClass*64:], slot, 6, literalLimit)
	if slot < 4 {
		return slot
	}
	rest := slot/2 - 1
	got := (2 | slot&1) << rest
	low := min(rest, 4)
	if rest > low {
		got |= int(c.direct(uint64(v>>low)&(1<<(rest-low)-1), rest-low)) << low
	}
	return got | codeTree(c, l.low[slot*16:], v&(1<<low-1), low, literalLimit)
}
