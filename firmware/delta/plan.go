package delta

import (
	"bytes"
	"math"
)

const (
	minCopy  = 512     // equal bytes that are worth a copy among differences
	minZeros = 64      // that are worth an operation
	rawPiece = 8 << 10 // bytes of which it is decided whether they are coded at all
	// noiseBytes are the least of which the counts say something.
	noiseBytes = 1 << 10
)

// planner makes the operations of frames.
type planner struct {
	*index
	finder finder
	ops    []operation
	frame  []byte
	reps   [4]int
}

// plan returns the operations for a frame at the given offset of the image.
func (p *planner) plan(frame []byte, image int64) []operation {
	p.ops, p.frame, p.reps = p.ops[:0], frame, [4]int{1, 2, 4, 8}
	regions := p.align(frame, image)
	p.finder.frame = nil
	end := 0
	for _, r := range regions {
		p.gap(end, r.at)
		p.region(r)
		end = r.at + r.length
	}
	p.gap(end, len(frame))
	return p.ops
}

func (p *planner) add(o operation) {
	if o.length > 0 {
		p.ops = append(p.ops, o)
	}
}

// region tells apart what is equal for long and what is not.
func (p *planner) region(r region) {
	base := p.base[r.old:]
	begin := 0
	for i := 0; i < r.length; {
		n := equal(p.frame[r.at+i:r.at+r.length], base[i:])
		if n >= minCopy || n == r.length {
			p.add(operation{kind: opFields, at: r.at + begin, length: i - begin, old: r.old + int64(begin)})
			p.add(operation{kind: opCopy, at: r.at + i, length: n, old: r.old + int64(i)})
			begin = i + n
		}
		i += n + 1
	}
	p.add(operation{kind: opFields, at: r.at + begin, length: r.length - begin, old: r.old + int64(begin)})
}

// gap covers bytes that have no counterpart.
func (p *planner) gap(at, end int) {
	begin := at
	for at < end {
		n := zeros(p.frame[at:end])
		if n >= minZeros {
			p.fresh(begin, at)
			p.add(operation{kind: opZero, at: at, length: n})
			begin = at + n
		}
		if at += n; n == 0 {
			if next := bytes.IndexByte(p.frame[at:end], 0); next >= 0 {
				at += next
			} else {
				at = end
			}
		}
	}
	p.fresh(begin, end)
}

func zeros(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return len(b)
}

func (p *planner) fresh(at, end int) {
	if at == end {
		return
	}
	if p.finder.frame == nil {
		p.finder.reset(p.frame)
	}
	for at < end {
		stop := min(at+rawPiece, end)
		reps := p.reps
		kind := opFresh
		ms := p.parse(at, stop, &reps)
		if ms == nil {
			kind = opRaw
		} else {
			p.reps = reps
		}
		if n := len(p.ops); n > 0 && p.ops[n-1].kind == kind && p.ops[n-1].at+p.ops[n-1].length == at {
			p.ops[n-1].length += stop - at
			p.ops[n-1].matches = append(p.ops[n-1].matches, ms...)
		} else {
			p.add(operation{kind: kind, at: at, length: stop - at, matches: ms})
		}
		at = stop
	}
}

// parse finds the repetitions of fresh bytes; nil means that coding the bytes would not make them smaller.
func (p *planner) parse(at, end int, reps *[4]int) []match {
	b := p.frame[at:end]
	around := max(0, noiseBytes-len(b)) / 2
	even := noise(p.frame[max(0, at-around):min(end+around, len(p.frame))])
	if even && !p.finder.repeats(at, end) {
		return nil
	}
	ms := p.finder.parse(at, end, reps)
	saved := 0
	for _, m := range ms {
		saved += m.length
	}
	if even && saved*32 < len(b) {
		return nil
	}
	return append([]match{}, ms...)
}

// noise reports whether the bytes of b are as evenly spread as those of compressed or encrypted data.
func noise(b []byte) bool {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	bits := 0.0
	for _, n := range count {
		if n > 0 {
			bits -= float64(n) * math.Log2(float64(n)/float64(len(b)))
		}
	}
	// Of few random bytes, the counts seem to tell more than they do.
	expected := 8*float64(len(b)) - 255/(2*math.Ln2)
	return len(b) >= noiseBytes/2 && bits > expected*0.99
}
