package audit

import (
	"cmp"
	"slices"
)

// report draws the conclusions, after the last row.
func (v *verifier) report() Report {
	slices.SortStableFunc(v.runs, func(a, b *run) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	v.propagate()
	v.countHeads()
	claimed := v.judgeBad(v.claim())
	v.judgeLinks()
	v.judgeHeads()
	v.judgeGaps(claimed)
	v.judgeOrder()
	if v.hopeless() {
		v.find(Hopeless, Span{v.from.Seq + 1, max(v.last, v.from.Seq+1)}, "the check ended after %d rows: too much is wrong", v.read)
	}
	slices.SortStableFunc(v.out.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Rows.From, b.Rows.From), cmp.Compare(a.Rows.To, b.Rows.To))
	})
	v.out.Findings = slices.CompactFunc(v.out.Findings, func(a, b Finding) bool { return a.Rows == b.Rows && a.Fault == b.Fault && a.Fault != BadHead })
	v.out.Rows, v.out.Last = v.read, v.last
	return v.out
}

func (r *run) continuedBy(next *run) bool { return r.To+1 == next.From && r.tip == next.prev }
func (r *run) proven() Span               { return Span{r.From, r.sealed} }
func (r *run) open() Span                 { return Span{r.sealed + 1, r.To} }

// propagate carries what heads vouch for from runs to those that they continue.
func (v *verifier) propagate() {
	for _, b := range slices.Backward(v.runs) {
		if b.sealed < b.From {
			continue
		}
		for _, a := range v.runs {
			if a.continuedBy(b) {
				a.sealed = a.To
			}
		}
	}
}

func (v *verifier) countHeads() {
	for _, s := range v.heads {
		if s.agreed || s.Head == v.from {
			v.out.Heads++
			v.out.Sealed, v.out.Day = s.Seq, s.Day
		}
	}
}

// claim gives each number to one run, proven rows first. What finds its number taken does
// not belong there.
func (v *verifier) claim() []Span {
	claimed := []Span{{1, v.from.Seq}} // what was erased; empty at the start of a chain
	for _, r := range v.runs {
		claimed = v.take(claimed, r.proven())
	}
	v.out.Proven = merge(claimed[1:])
	for _, r := range v.runs {
		claimed = v.take(claimed, r.open())
	}
	return claimed
}

func (v *verifier) take(claimed []Span, rows Span) []Span {
	free := minus(rows, claimed)
	for _, twice := range minus(rows, free) {
		v.find(Inserted, twice, "another row has the number, and belongs there more likely or for certain")
	}
	return append(claimed, free...)
}

// judgeBad finds out which rows the unreadable ones were.
func (v *verifier) judgeBad(claimed []Span) []Span {
	for i, b := range v.bad {
		b.seq = v.locate(b, v.bad[:i])
		v.bad[i] = b
		at := Span{b.seq, b.seq}
		if len(minus(at, claimed)) == 0 {
			v.find(Inserted, at, "what stands near it is no row: %v", b.err)
			continue
		}
		v.find(Altered, at, "%v", b.err)
		claimed = append(claimed, at)
	}
	return claimed
}

// locate goes by the hashes around the row, and only then by what it says of itself.
func (v *verifier) locate(b badRow, before []badRow) int64 {
	for _, r := range v.runs {
		if r.From <= r.To && r.prev == b.Hash && r.From-1 > v.from.Seq {
			return r.From - 1
		}
	}
	for _, r := range v.runs {
		if r.tip == b.Prev {
			return r.To + 1
		}
	}
	for _, other := range before {
		if other.Hash == b.Prev {
			return other.seq + 1
		}
	}
	return b.seq
}

// judgeLinks looks at runs that stand one after the other by number, and not by hash.
func (v *verifier) judgeLinks() {
	for _, b := range v.runs {
		linked := slices.ContainsFunc(v.runs, func(a *run) bool { return a.continuedBy(b) })
		beside := slices.ContainsFunc(v.runs, func(a *run) bool { return a.To+1 == b.From })
		switch {
		case b.From > b.To || linked || !beside:
		case b.sealed >= b.From && b.From-1 > v.from.Seq:
			v.find(Altered, Span{b.From - 1, b.From - 1}, "row %d, which is proven, says that another row stood there", b.From)
		default:
			v.find(Altered, Span{max(b.From-1, v.from.Seq+1), b.From}, "row %d says that another row stood before it: one of the two is not what was written", b.From)
		}
	}
}

// judgeHeads finds rows that hang together and are not what was sealed.
func (v *verifier) judgeHeads() {
	told := v.from.Seq // the last row of the last head that was of no use: others may follow from it
	for _, s := range v.heads {
		agrees := slices.ContainsFunc(v.heads, func(o *seal) bool { return o.agreed && o.Seq == s.Seq })
		there := slices.ContainsFunc(v.runs, func(r *run) bool { return r.holds(s.Seq) })
		if s.Seq <= v.from.Seq || agrees || !there {
			continue
		}
		at := Span{s.Seq, s.Seq}
		if len(minus(at, v.out.Proven)) == 0 {
			v.find(Forked, at, "the head signed for %s has another hash of it than later ones prove: who holds the key has written two histories", s.Day)
			continue
		}
		first := v.from.Seq + 1
		for _, p := range v.out.Proven {
			if p.To < s.Seq {
				first = p.To + 1
			}
		}
		if first > told {
			v.find(Rewritten, Span{first, s.Seq}, "the head signed for %s has another hash of row %d", s.Day, s.Seq)
		}
		told = s.Seq
	}
}

func (v *verifier) judgeGaps(claimed []Span) {
	end, by := v.last, ""
	if n := len(v.heads); n > 0 && v.heads[n-1].Seq > end && !v.hopeless() {
		end, by = v.heads[n-1].Seq, string(v.heads[n-1].Day)
	}
	for _, gap := range minus(Span{v.from.Seq + 1, end}, claimed) {
		if gap.To > v.last {
			v.find(Missing, gap, "the log was cut off at its end: the head signed for %s has row %d", by, end)
			continue
		}
		v.find(Missing, gap, "no row has the number, and later ones are there")
	}
}

func (v *verifier) judgeOrder() {
	var more []Span
	for _, f := range v.out.Findings {
		if f.Fault == Inserted {
			more = append(more, f.Rows)
		}
	}
	for _, l := range v.late {
		for _, s := range minus(l, more) {
			v.find(Reordered, s, "stands after rows with higher numbers")
		}
	}
}
