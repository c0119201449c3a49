package audit

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// damage changes rows in one of the ways that are open to who can write to the database.
func damage(t *rapid.T, rows, orig []Row) []Row {
	if len(rows) == 0 {
		return rows
	}
	pick := func(label string) int { return rapid.IntRange(0, len(rows)-1).Draw(t, label) }
	i, j := pick("row"), pick("other row")
	switch rapid.SampledFrom([]string{"flip", "delete", "insert copy", "insert forged", "swap", "duplicate", "cut", "move", "replace", "rewrite"}).Draw(t, "damage") {
	case "flip":
		b := rows[i].append(nil)
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		rows[i] = split(b)
	case "delete":
		rows = slices.Delete(rows, min(i, j), max(i, j))
	case "insert copy":
		rows = slices.Insert(rows, i, rapid.SampledFrom(orig).Draw(t, "copy"))
	case "insert forged":
		rows = slices.Insert(rows, i, forge(acme, rows[j], rapid.Int64Range(1, int64(len(rows))+2).Draw(t, "number"), other()))
	case "swap":
		rows[i], rows[j] = rows[j], rows[i]
	case "duplicate":
		rows = slices.Insert(rows, i, rows[i])
	case "cut":
		rows = rows[:i]
	case "move":
		r := rows[i]
		rows = slices.Insert(slices.Delete(rows, i, i+1), j, r)
	case "replace":
		var prev Row
		if i > 0 {
			prev = rows[i-1]
		}
		rows[i] = forge(acme, prev, int64(i+1), other())
	case "rewrite":
		es := entriesOf(rows[i:])
		es[0] = other()
		for k := range es {
			if es[k].Action == "" {
				es[k] = other() // what was no row any more
			}
		}
		rows = rewrite(rows, i, es...)
	}
	return rows
}

// asWritten is the plain truth: the sealed rows are there byte for byte, and what follows
// is a chain.
func asWritten(rows, orig []Row, sealed int) bool {
	if len(rows) < sealed {
		return false
	}
	at := Start(acme)
	for i, r := range rows {
		e, err := r.Open(acme)
		if i < sealed && !same(r, orig[i]) || err != nil || e.Seq != at.Seq+1 || r.Prev != at.Hash {
			return false
		}
		at = Head{acme, e.Seq, r.Hash}
	}
	return true
}

func same(a, b Row) bool {
	return a.Hash == b.Hash && a.Prev == b.Prev && bytes.Equal(a.Entry, b.Entry)
}

// TestNoDamageIsMissed does one to three random things to a chain. Verify has to agree with
// the plain truth, and what it calls proven has to be there as it was written.
func TestNoDamageIsMissed(t *testing.T) {
	s := signerOf(t, 1)
	keys := keysOf(t, s)
	rapid.Check(t, func(t *rapid.T) { noDamageIsMissed(t, s, keys) })
}

func noDamageIsMissed(t *rapid.T, s keyfile.Signer, keys Keys) {
	h := &history{heads: []Head{Start(acme)}}
	n := rapid.IntRange(1, 12).Draw(t, "rows")
	sealed := 0
	for i := 1; i <= n; i++ {
		row, head, err := Append(h.heads[i-1], entry(i))
		if err != nil {
			t.Fatal(err)
		}
		h.rows, h.heads = append(h.rows, row), append(h.heads, head)
		if rapid.IntRange(0, 3).Draw(t, "seal") == 0 {
			raw, err := SignHead(DayOf(begin.AddDate(0, 0, i)), head, s)
			if err != nil {
				t.Fatal(err)
			}
			h.seals, sealed = append(h.seals, raw), i
		}
	}
	rows := slices.Clone(h.rows)
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		rows = damage(t, rows, h.rows)
	}
	r, err := Verify(seq(rows), Start(acme), h.seals, keys)
	if want := asWritten(rows, h.rows, sealed); (err == nil) != want || err != nil && !errors.Is(err, ErrTampered) {
		t.Fatalf("as it was written: %v; Verify: %v\n%s", want, err, r)
	}
	for _, p := range r.Proven {
		for seq := p.From; seq <= p.To; seq++ {
			if seq > int64(n) || !slices.ContainsFunc(rows, func(r Row) bool { return same(r, h.rows[seq-1]) }) {
				t.Fatalf("row %d is called proven, and is not there as it was written\n%s", seq, r)
			}
		}
	}
}

// TestEachByteOfEachRow: a changed byte is found in its row and says nothing against others.
func TestEachByteOfEachRow(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 4, 4)
	keys := keysOf(t, s)
	for i, row := range h.rows {
		whole := row.append(nil)
		for at := range whole {
			b := slices.Clone(whole)
			b[at] ^= 1 << (at % 8)
			rows := slices.Clone(h.rows)
			rows[i] = split(b)
			r, err := Verify(seq(rows), Start(acme), h.seals, keys)
			if err == nil || len(r.Findings) != 1 || r.Findings[0].Fault != Altered || r.Findings[0].Rows != (Span{int64(i + 1), int64(i + 1)}) {
				t.Fatalf("byte %d of row %d: %v\n%s", at, i+1, err, r)
			}
		}
	}
}
