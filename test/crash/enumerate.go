package crash

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
)

// Bounds say how much of what a medium may hold is tried.
type Bounds struct {
	All     int // pending operations of which every subset is tried
	Samples int // subsets that are drawn where there are more
	Tears   int // ways in which a write is torn, for each subset
	Of      int // of the media that a device recovers on, the recovery of one in so many is cut again; 0 means of all
	Seed    uint64
}

// takes draws a medium whose recovery is cut.
func (b Bounds) takes(s Sum) bool {
	return b.Of < 2 || (binary.LittleEndian.Uint64(s[:])^b.Seed)%uint64(b.Of) == 0
}

// State is one thing that a disk may hold after a cut.
type State struct {
	*Medium
	At       int  // operations that were begun
	Promises []op // that were made by then: the marks, in order
	log      []*op
	pending  []*op
	kept     []bool
	tear     string
	garbage  bool // the tear destroyed what was there, rather than leave a part of it old
}

// String says how the state came about, for people to repeat it.
func (s *State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cut after operation %d", s.At)
	if s.At > 0 {
		fmt.Fprintf(&b, " (%v)", s.log[s.At-1])
	}
	for i, o := range s.pending {
		word := "lost"
		if s.kept[i] {
			word = "kept"
		}
		fmt.Fprintf(&b, "\n    %s: %v", word, o)
	}
	if s.tear != "" {
		fmt.Fprintf(&b, "\n    torn: %s", s.tear)
	}
	return b.String()
}

// Enumerate yields what a disk may hold if the power goes at some moment of its log. It stops when yield says so.
func (d *Disk) Enumerate(b Bounds, yield func(*State) bool) {
	d.mu.Lock()
	log := d.log
	d.mu.Unlock()
	c := cut{Bounds: b, durable: d.base.Clone(), log: log}
	if !c.each(yield) {
		return
	}
	for k, o := range log {
		c.at, c.rnd = k+1, rand.New(rand.NewPCG(b.Seed, uint64(k)))
		switch o.kind {
		case opSync:
			c.durable = c.durable.Clone()
			c.pending = settle(c.durable, c.pending, o.node)
			continue // what may be there now might have been there before
		case opMark:
			c.promises = append(c.promises[:len(c.promises):len(c.promises)], *o)
			c.newest, c.Tears = false, 0 // the same media, and one promise more
		default:
			c.pending = append(c.pending[:len(c.pending):len(c.pending)], o)
			c.newest, c.Tears = true, b.Tears // what is there without it might have been there before
		}
		if _, ok := o.mark.(bootBegins); !ok && !c.each(yield) {
			return
		}
	}
}

// settle makes durable what was pending before the barrier of a node.
func settle(durable *Medium, pending []*op, node int) (rest []*op) {
	for _, o := range pending {
		if o.node == node {
			o.apply(durable)
		} else {
			rest = append(rest, o)
		}
	}
	return rest
}

// cut is one moment.
type cut struct {
	Bounds
	durable  *Medium
	pending  []*op
	newest   bool // only subsets with the last of them
	promises []op
	log      []*op
	at       int
	rnd      *rand.Rand
}

func (c *cut) each(yield func(*State) bool) bool {
	n := len(c.pending)
	if c.newest {
		n--
	}
	for in := range c.sets(n) {
		if !c.tear(func(i int) bool { return i == n || in(i) }, yield) {
			return false
		}
	}
	return true
}

// sets are subsets of n operations.
func (c *cut) sets(n int) iter.Seq[func(i int) bool] {
	return func(yield func(func(i int) bool) bool) {
		if n <= c.All {
			for set := 0; set < 1<<n; set++ {
				if !yield(func(i int) bool { return set>>i&1 == 1 }) {
					return
				}
			}
			return
		}
		ok := yield(func(int) bool { return false }) && yield(func(int) bool { return true })
		for j := 0; ok && j < n; j++ {
			ok = yield(func(i int) bool { return i == j }) && yield(func(i int) bool { return i != j })
		}
		for s := 0; ok && s < c.Samples; s++ {
			draw := make([]bool, n)
			for i := range draw {
				draw[i] = c.rnd.IntN(2) == 0
			}
			ok = yield(func(i int) bool { return draw[i] })
		}
	}
}

// tear yields a subset whole, and with its last write, or any other, torn.
func (c *cut) tear(in func(i int) bool, yield func(*State) bool) bool {
	s := State{At: c.at, Promises: c.promises, log: c.log, pending: c.pending, kept: make([]bool, len(c.pending))}
	m := c.durable.Clone()
	var writes []int
	for i, o := range c.pending {
		if s.kept[i] = in(i); !s.kept[i] {
			continue
		}
		o.apply(m)
		if o.kind == opWrite || o.kind == opSlot {
			writes = append(writes, i)
		}
	}
	whole := s
	if whole.Medium = m; !yield(&whole) {
		return false
	}
	for t := range c.Tears {
		if len(writes) == 0 {
			break
		}
		victim := writes[len(writes)-1]
		if t > 1 {
			victim = writes[c.rnd.IntN(len(writes))]
		}
		torn, how := torn(c.rnd, c.pending[victim])
		destroyed := strings.HasPrefix(how, "grown")
		m := c.durable.Clone()
		for i, o := range c.pending {
			if i == victim {
				o = torn
			}
			if s.kept[i] {
				o.apply(m)
			}
		}
		bad := s
		if bad.Medium, bad.tear, bad.garbage = m, how, destroyed; !yield(&bad) {
			return false
		}
	}
	return true
}

// torn is a write of which only a part arrived: up to some sector, or, of a file, its length without its bytes.
func torn(rnd *rand.Rand, o *op) (*op, string) {
	t := *o
	length := o.length
	if o.kind == opWrite {
		length = int64(len(o.data))
	}
	first := (o.off + sector) / sector * sector // the first boundary within
	cuts := (o.off + length - first + sector - 1) / sector
	if o.kind == opWrite && (cuts <= 0 || rnd.IntN(3) == 0) {
		t.data = make([]byte, length)
		what := "grown, of zeros"
		if rnd.IntN(2) == 0 {
			for i := range t.data {
				t.data[i] = 0xff
			}
			what = "grown, of garbage"
		}
		return &t, what + ": " + o.String()
	}
	if cuts <= 0 {
		return &t, ""
	}
	keep := first + sector*rnd.Int64N(cuts) - o.off
	if t.length = keep; o.data != nil {
		t.data = o.data[:keep]
	}
	return &t, fmt.Sprintf("%d bytes of it arrived: %v", keep, o)
}
