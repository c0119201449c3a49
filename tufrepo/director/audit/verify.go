package audit

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/fairlead/fairlead/firmware"
)

// most is how much damage is followed up: runs, unreadable rows, rows out of order, each.
// Beyond it a chain is not worth a search, and memory stays bounded.
const most = 64

// Verify reads the rows that follow from, once and in the order in which they are stored,
// and compares them with heads: those from the database, and those that an auditor has kept.
//
// from is Start(chain), or the boundary of a chain whose older rows were erased, which
// must be among the signed heads. Heads of rows before it are not compared. While the chain
// grows, the heads are read before the rows, or both in one transaction: else a head of
// rows that were not read yet looks like a cut.
//
// A nil error means that every row from there to the newest signed head is as it was
// written, that none is missing, and that those after it hang together. ErrTampered means
// that the report has findings. Any other error means that nothing can be said: the rows
// could not be read, or from is nothing to begin at.
func Verify(rows iter.Seq2[Row, error], from Head, heads []SignedHead, keys Keys) (Report, error) {
	v, err := newVerifier(from, heads, keys)
	if err != nil {
		return Report{}, err
	}
	for row, err := range rows {
		if err != nil {
			return Report{}, fmt.Errorf("checking audit chain %s after %d rows: %w", from.Chain, v.read, err)
		}
		if v.row(row); v.hopeless() {
			break
		}
	}
	r := v.report()
	return r, r.err()
}

// verifier sees one row after the other. It ties them into runs: rows that follow each
// other by number and hash, wherever they stand. An untouched chain is one run.
type verifier struct {
	from  Head
	heads []*seal // by number
	runs  []*run
	bad   []badRow
	late  []Span // genuine looking rows that stand after higher ones
	read  int64
	last  int64 // the highest number so far
	out   Report
}

// seal is a signed head and whether a row has agreed with it.
type seal struct {
	DayHead
	agreed bool
}

// run is a sequence of rows of which each is what the next says comes before it. So what
// vouches for one of its rows vouches for all before that one.
type run struct {
	Span                   // To is From-1 while it is empty
	prev   firmware.Digest // what its first row says comes before it
	before firmware.Digest // hash of the last row but one
	tip    firmware.Digest // hash of the last row
	sealed int64           // the last row that a head vouches for; From-1 for none
}

// badRow is a row that is not what its own hash says, or is no row at all.
type badRow struct {
	Row
	seq int64 // by its own account, else by where it stands
	err error
}

func newVerifier(from Head, heads []SignedHead, keys Keys) (*verifier, error) {
	if err := from.check(); err != nil {
		return nil, fmt.Errorf("checking an audit chain: %w", err)
	}
	v := &verifier{from: from, last: from.Seq, out: Report{Chain: from.Chain, After: from.Seq}}
	known := from.Seq == 0
	for i, raw := range heads {
		h, err := keys.Open(raw)
		switch {
		case err != nil:
			v.find(BadHead, Span{}, "head %d of those given: %v", i+1, err)
		case h.Chain != from.Chain:
			v.find(BadHead, Span{}, "head %d of those given is of chain %s", i+1, h.Chain)
		default:
			v.heads = append(v.heads, &seal{DayHead: h})
			known = known || h.Head == from
		}
	}
	if !known {
		return nil, fmt.Errorf("checking audit chain %s: no signed head says that row %d has hash %.12s…: begin at one that is signed", from.Chain, from.Seq, from.Hash)
	}
	slices.SortStableFunc(v.heads, func(a, b *seal) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Day, b.Day)) })
	v.compareHeads()
	v.runs = []*run{{Span: Span{from.Seq + 1, from.Seq}, prev: from.Hash, tip: from.Hash, sealed: from.Seq}}
	return v, nil
}

// compareHeads finds those that contradict each other without a row being looked at.
func (v *verifier) compareHeads() {
	for i := 1; i < len(v.heads); i++ {
		a, b := v.heads[i-1], v.heads[i]
		if a.Seq == b.Seq && a.Hash != b.Hash {
			v.find(Forked, Span{b.Seq, b.Seq}, "the heads signed for %s and for %s give it different hashes: who holds the key has written two histories", a.Day, b.Day)
		}
		if a.Seq < b.Seq && a.Day > b.Day {
			v.find(Forked, Span{a.Seq + 1, b.Seq}, "the head signed for %s has them, the one signed for %s, later, has not: the log was cut and sealed again", b.Day, a.Day)
		}
	}
}

func (v *verifier) find(f Fault, rows Span, format string, args ...any) {
	v.out.Findings = append(v.out.Findings, Finding{Fault: f, Rows: rows, Detail: fmt.Sprintf(format, args...)})
}

func (v *verifier) hopeless() bool {
	return len(v.runs) > most || len(v.bad) > most || len(v.late) > most || len(v.out.Findings) > most
}

func (v *verifier) row(row Row) {
	v.read++
	e, err := row.Open(v.from.Chain)
	if err != nil {
		seq := e.Seq
		if seq == 0 {
			seq = v.last + 1
		}
		v.bad = append(v.bad, badRow{row, seq, err})
		return
	}
	if e.Seq > v.last {
		v.last = e.Seq
	} else {
		v.outOfOrder(e.Seq)
	}
	if r := v.place(e.Seq, row); r != nil {
		v.compare(r, e.Seq, row.Hash)
	}
}

func (v *verifier) outOfOrder(seq int64) {
	if n := len(v.late); n > 0 && v.late[n-1].To+1 == seq {
		v.late[n-1].To = seq
		return
	}
	v.late = append(v.late, Span{seq, seq})
}

// place puts a row at the end of the run that it follows, or begins one. Nil if the row
// is there already.
func (v *verifier) place(seq int64, row Row) *run {
	for i, r := range v.runs {
		switch {
		case r.To+1 == seq && r.tip == row.Prev:
			r.To, r.before, r.tip = seq, r.tip, row.Hash
			return r
		case r.holds(seq) && r.To == seq && r.tip == row.Hash:
			v.find(Inserted, Span{seq, seq}, "the same row stands here more than once")
			return nil
		case r.To == seq && r.before == row.Prev && (r.From < r.To || i == 0 && r.From == r.To):
			v.fork(r)
		}
	}
	r := &run{Span: Span{seq, seq}, prev: row.Prev, tip: row.Hash, sealed: seq - 1}
	v.runs = append(v.runs, r)
	return r
}

// fork takes the last row of r off: another one claims its place, and what comes later
// tells which of the two belongs there.
func (v *verifier) fork(r *run) {
	other := &run{Span: Span{r.To, r.To}, prev: r.before, tip: r.tip, sealed: r.To - 1}
	if r.sealed == r.To {
		other.sealed, r.sealed = r.To, r.To-1
	}
	r.To, r.tip = r.To-1, r.before
	v.runs = append(v.runs, other)
}

// compare looks the row up among the heads.
func (v *verifier) compare(r *run, seq int64, h firmware.Digest) {
	i, _ := slices.BinarySearchFunc(v.heads, seq, func(s *seal, seq int64) int { return cmp.Compare(s.Seq, seq) })
	for ; i < len(v.heads) && v.heads[i].Seq == seq; i++ {
		if v.heads[i].Hash == h {
			v.heads[i].agreed = true
			r.sealed = max(r.sealed, seq)
		}
	}
}
