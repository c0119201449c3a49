package delta

import (
	"encoding/binary"
	"math/bits"
)

// region is a part of a frame that lies at some place of the base, most of it equal.
type region struct {
	at, length int   // within the frame
	old        int64 // within the base
}

func (r region) end() int { return r.at + r.length }

// aligner finds the regions of one frame.
type aligner struct {
	*index
	frame   []byte
	regions []region
	open    bool
	cur     region   // that alignment from its start on, without a length
	parts   []region // of it
	shift   int64    // of cur: old - at
}

// align returns the regions of a frame that lies at the given offset of the new image, in order.
func (x *index) align(frame []byte, offset int64) []region {
	a := &aligner{index: x, frame: frame}
	if offset < int64(len(x.base)) {
		a.begin(region{0, 0, offset})
	}
	a.run()
	if a.open {
		a.take(a.stretches(len(frame)))
	}
	return a.regions
}

func (a *aligner) begin(r region) {
	a.open, a.cur, a.shift = true, r, r.old-int64(r.at)
}

// run goes through the frame.
func (a *aligner) run() {
	for i := 0; i+lookahead <= len(a.frame); {
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
		if r.length == 0 || r.length <= a.score(r.at, r.length)+a.gain {
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
		if n < a.window {
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
	start, shift := a.backward(r), r.old-int64(r.at)
	if a.open {
		parts := a.stretches(r.at)
		for len(parts) > 1 && parts[len(parts)-1].at >= start {
			parts = parts[:len(parts)-1]
		}
		if last := &parts[len(parts)-1]; last.end() > start {
			start = a.split(start, last.end(), shift)
			last.length = start - last.at
		}
		a.take(parts)
	}
	a.begin(region{start, 0, int64(start) + shift})
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

// stretches returns the parts of the open alignment, before limit, of which more than half is right: one at its start, perhaps
// empty, and others where it is right again after a while. They hold until the next call.
func (a *aligner) stretches(limit int) []region {
	base := a.base[min(int64(len(a.base)), a.cur.old):]
	frame := a.frame[a.cur.at:limit]
	a.parts = append(a.parts[:0], a.cur)
	from, score, most := 0, 0, 0
	for i := 0; i < len(frame) && i < len(base); {
		n := equal(frame[i:], base[i:])
		if n == 0 {
			score--
			i++
			continue
		}
		if score < most-a.giveUp && n >= a.again {
			a.parts = append(a.parts, region{a.cur.at + i, 0, a.cur.old + int64(i)})
			from, score, most = i, 0, 0
		}
		i += n
		if score += n; score > most {
			a.parts[len(a.parts)-1].length, most = i-from, score
		}
	}
	return a.parts
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

func (a *aligner) take(parts []region) {
	for _, p := range parts {
		if p.length > 0 {
			a.regions = append(a.regions, p)
		}
	}
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
