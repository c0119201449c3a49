package delta

import "encoding/binary"

// finder finds repetitions within a frame: chains of positions whose next four bytes have the same hash.
type finder struct {
	frame []byte
	head  []int32 // by hash: the last position+1
	prev  []int32 // by position: the one before it
	next  int     // the first position that is not in the chains
}

const (
	finderBits  = 17
	finderDepth = 96
	niceLength  = 128
)

func (f *finder) reset(frame []byte) {
	if f.head == nil {
		f.head = make([]int32, 1<<finderBits)
	}
	clear(f.head)
	if cap(f.prev) < len(frame) {
		f.prev = make([]int32, len(frame))
	}
	f.frame, f.prev, f.next = frame, f.prev[:len(frame)], 0
}

// fill enters all positions before at into the chains.
func (f *finder) fill(at int) {
	for ; f.next < at && f.next+4 <= len(f.frame); f.next++ {
		h := &f.head[hashTo(binary.LittleEndian.Uint32(f.frame[f.next:]), finderBits)]
		f.prev[f.next] = *h
		*h = int32(f.next) + 1
	}
}

// longest returns the longest repetition that begins at a position, none longer than limit; the nearest of several.
func (f *finder) longest(at, limit int) (length, distance int) {
	f.fill(at)
	if at+4 > len(f.frame) {
		return 0, 0
	}
	target := f.frame[at : at+limit]
	p := f.head[hashTo(binary.LittleEndian.Uint32(f.frame[at:]), finderBits)]
	for int(p) > at { // entered by a look ahead
		p = f.prev[p-1]
	}
	for depth := finderDepth; p > 0 && depth > 0; depth-- {
		q := int(p) - 1
		if length == 0 || length < limit && f.frame[q+length] == target[length] {
			if n := equal(target, f.frame[q:]); n > length && n >= 4 {
				length, distance = n, at-q
				if n >= niceLength {
					break
				}
			}
		}
		p = f.prev[q]
	}
	return length, distance
}

// repeats looks at a few places for long repetitions.
func (f *finder) repeats(at, end int) bool {
	for ; at < end; at += 32 {
		if n, _ := f.longest(at, end-at); n >= 16 {
			return true
		}
	}
	return false
}

// parse tells which parts of frame[at:end] to code as matches.
func (f *finder) parse(at, end int, reps *[4]int) []match {
	var ms []match
	for i := at; i < end; {
		m := f.best(i, end, reps)
		if m.length == 0 {
			i++
			continue
		}
		for m.length < niceLength && i+1 < end {
			n := f.best(i+1, end, reps)
			if value(n, reps) <= value(m, reps)+2 {
				break
			}
			i++
			m = n
		}
		ms = append(ms, m)
		use(reps, m.distance)
		i += m.length
	}
	return ms
}

func use(reps *[4]int, distance int) {
	k := 0
	for k < 3 && reps[k] != distance {
		k++
	}
	copy(reps[1:k+1], reps[:k])
	reps[0] = distance
}

// value is about how many bits a match saves.
func value(m match, reps *[4]int) int {
	if m.length == 0 {
		return 0
	}
	for _, d := range reps {
		if d == m.distance {
			return m.length*6 - 8
		}
	}
	cost := 14
	for d := m.distance; d > 0; d >>= 1 {
		cost++
	}
	return m.length*6 - cost
}

func (f *finder) best(at, end int, reps *[4]int) match {
	limit := end - at
	var m match
	for _, d := range reps {
		if d <= at {
			if n := equal(f.frame[at:end], f.frame[at-d:]); n >= minAgain {
				if c := (match{at, n, d}); value(c, reps) > value(m, reps) {
					m = c
				}
			}
		}
	}
	if n, d := f.longest(at, limit); n > 0 {
		if c := (match{at, n, d}); value(c, reps) > value(m, reps) {
			m = c
		}
	}
	if value(m, reps) <= 0 {
		return match{}
	}
	return m
}
