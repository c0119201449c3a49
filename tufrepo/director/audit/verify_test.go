package audit

import (
	"crypto"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const acme = "tenant/acme"

// rewrite makes a chain that goes on from rows[at-1] with other entries, numbered as they stand.
func rewrite(rows []Row, at int, entries ...Entry) []Row {
	rows = slices.Clone(rows[:at])
	for _, e := range entries {
		var prev Row
		if len(rows) > 0 {
			prev = rows[len(rows)-1]
		}
		rows = append(rows, forge(acme, prev, int64(len(rows)+1), e))
	}
	return rows
}

func entriesOf(rows []Row) (all []Entry) {
	for _, r := range rows {
		e, _ := ParseEntry(r.Entry)
		all = append(all, e)
	}
	return all
}

func other() Entry {
	e := entry(3)
	e.Object = "device/of somebody else"
	return e
}

// TestFindings is the catalogue of what can be done to twelve rows, sealed at 4, 8 and 10.
func TestFindings(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 12, 4, 8, 10)
	at := func(n int) Row { return h.rows[n-1] }
	with := func(n int, change func(*Row)) []Row {
		rows := slices.Clone(h.rows)
		rows[n-1].Entry = slices.Clone(rows[n-1].Entry)
		change(&rows[n-1])
		return rows
	}
	ins := func(n int, r ...Row) []Row { return slices.Insert(slices.Clone(h.rows), n, r...) } // after row n
	del := func(from, to int) []Row { return slices.Delete(slices.Clone(h.rows), from-1, to) }
	flip := func(b []byte, i int) { b[i] ^= 1 }
	three := slices.Clone(h.rows)
	for i := range three[5:8] {
		three[5+i].Entry = three[5+i].Entry[:20]
	}
	for _, tc := range []struct {
		name   string
		rows   []Row
		want   string // findings
		proven string
	}{
		{"nothing", h.rows, "", "rows 1 to 10"},
		{"cut off after the newest head: nothing can show it", h.rows[:10], "", "rows 1 to 10"},
		{"rewritten after the newest head: nothing can show it", rewrite(h.rows, 10, other(), other(), other()), "", "rows 1 to 10"},

		{"entry altered", with(6, func(r *Row) { flip(r.Entry, 30) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"number altered", with(6, func(r *Row) { flip(r.Entry, 4) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"format altered", with(6, func(r *Row) { flip(r.Entry, 0) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"entry gone", with(6, func(r *Row) { r.Entry = nil }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"hash altered", with(6, func(r *Row) { flip(r.Hash[:], 0) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"previous hash altered", with(6, func(r *Row) { flip(r.Prev[:], 0) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"first row altered", with(1, func(r *Row) { flip(r.Entry, 30) }), "row 1 altered", "rows 2 to 10"},
		{"sealed row altered", with(8, func(r *Row) { flip(r.Entry, 30) }), "row 8 altered", "rows 1 to 4, rows 9 to 10"},
		{"last row altered", with(12, func(r *Row) { flip(r.Entry, 30) }), "row 12 altered", "rows 1 to 10"},
		{"last row's number altered", with(12, func(r *Row) { flip(r.Entry, 4) }), "row 12 altered", "rows 1 to 10"},
		{"altered with its own hash", with(6, func(r *Row) { *r = forge(acme, at(5), 6, other()) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"first row altered with its own hash", with(1, func(r *Row) { *r = forge(acme, Row{}, 1, other()) }), "row 1 altered", "rows 2 to 10"},
		{"altered after the newest head, with its own hash", with(11, func(r *Row) { *r = forge(acme, at(10), 11, other()) }), "rows 11 to 12 altered", "rows 1 to 10"},
		{"taken from another chain", with(6, func(r *Row) { r.Hash = hash("tenant/bolt", r.Prev, r.Entry) }), "row 6 altered", "rows 1 to 4, rows 7 to 10"},

		{"deleted", del(6, 6), "row 6 missing", "rows 1 to 4, rows 7 to 10"},
		{"several deleted", del(3, 7), "rows 3 to 7 missing", "rows 8 to 10"},
		{"first deleted", del(1, 1), "row 1 missing", "rows 2 to 10"},
		{"sealed row deleted", del(10, 10), "row 10 missing", "rows 1 to 8"},
		{"cut off before the newest head", h.rows[:7], "rows 8 to 10 missing", "rows 1 to 4"},
		{"all deleted", nil, "rows 1 to 10 missing", ""},

		{"row twice", ins(6, at(6)), "row 6 inserted", "rows 1 to 10"},
		{"row again later", ins(9, at(6)), "row 6 inserted", "rows 1 to 10"},
		{"row again at the end", ins(12, at(12)), "row 12 inserted", "rows 1 to 10"},
		{"rows again later", ins(9, at(5), at(6), at(7)), "rows 5 to 7 inserted", "rows 1 to 10"},
		{"forged row before a genuine one", ins(5, forge(acme, at(5), 6, other())), "row 6 inserted", "rows 1 to 10"},
		{"forged row after a genuine one", ins(6, forge(acme, at(5), 6, other())), "row 6 inserted", "rows 1 to 10"},
		{"forged first row", ins(0, forge(acme, Row{}, 1, other())), "row 1 inserted", "rows 1 to 10"},
		{"forged row at a sealed number", ins(7, forge(acme, at(7), 8, other())), "row 8 inserted", "rows 1 to 10"},
		{"no row at all", ins(6, Row{}), "row 7 inserted", "rows 1 to 10"},

		{"neighbours swapped", append(del(6, 6)[:6], append([]Row{at(6)}, h.rows[7:]...)...), "row 6 reordered", "rows 1 to 10"},
		{"last row first", append([]Row{at(12)}, h.rows[:11]...), "rows 1 to 11 reordered", "rows 1 to 10"},

		{"history rewritten", rewrite(h.rows, 5, slices.Concat([]Entry{other()}, entriesOf(h.rows[6:]))...), "rows 5 to 8 rewritten", "rows 1 to 4"},
		{"deleted, and later ones made to fit", rewrite(h.rows, 5, entriesOf(h.rows[6:])...), "rows 5 to 8 rewritten", "rows 1 to 4"},
		{"inserted, and later ones made to fit", rewrite(h.rows, 5, slices.Concat([]Entry{other()}, entriesOf(h.rows[5:]))...), "rows 5 to 8 rewritten", "rows 1 to 4"},
		{"all of it rewritten", rewrite(nil, 0, slices.Concat([]Entry{other()}, entriesOf(h.rows[1:]))...), "rows 1 to 4 rewritten", ""},

		{"deleted, and what follows altered", slices.Delete(with(6, func(r *Row) { flip(r.Entry, 0) }), 4, 5), "row 5 missing; row 6 altered", "rows 1 to 4, rows 7 to 10"},
		{"three neighbours altered", three, "row 6 altered; row 7 altered; row 8 altered", "rows 1 to 4, rows 9 to 10"},
		{"two things at once", append(slices.Clone(h.rows[:2]), append(with(9, func(r *Row) { flip(r.Entry, 30) })[3:], at(12))...),
			"row 3 missing; row 9 altered; row 12 inserted", "rows 4 to 8, row 10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Verify(seq(tc.rows), Start(acme), h.seals, keysOf(t, s))
			if got := findings(r); got != tc.want || (err != nil) != (tc.want != "") {
				t.Errorf("found %q, want %q; %v\n%s", got, tc.want, err, r)
			}
			if err != nil && !errors.Is(err, ErrTampered) {
				t.Errorf("%v is not ErrTampered", err)
			}
			if got := spans(r.Proven); got != tc.proven {
				t.Errorf("proven %s, want %s\n%s", got, tc.proven, r)
			}
		})
	}
}

func findings(r Report) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, strings.TrimSpace(strings.TrimPrefix(f.Rows.String(), "row 0")+" "+string(f.Fault)))
	}
	return strings.Join(all, "; ")
}

func spans(all []Span) string {
	var out []string
	for _, s := range all {
		out = append(out, s.String())
	}
	return strings.Join(out, ", ")
}

func TestReportSaysWhatIsNotKnown(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 12, 10)
	r, err := Verify(seq(h.rows), Start(acme), h.seals, keysOf(t, s))
	if open, ok := r.Open(); err != nil || !ok || open != (Span{11, 12}) {
		t.Errorf("open rows %v, %v; %v", open, ok, err)
	}
	for _, want := range []string{"rows 1 to 10: proven", "rows 11 to 12: no signed head vouches", "copy kept elsewhere"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, r)
		}
	}
	r, err = Verify(seq(h.rows[:10]), Start(acme), h.seals, keysOf(t, s))
	if open, ok := r.Open(); err != nil || ok {
		t.Errorf("open rows %v where all are sealed; %v", open, err)
	}
	if r, err := Verify(seq(h.rows), Start(acme), nil, nil); err != nil || r.Proven != nil {
		t.Errorf("without a head: %v proven, %v; want nothing", r.Proven, err)
	}
}

func TestRetention(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 12, 4, 8, 10)
	keys := keysOf(t, s)
	for _, boundary := range []int{4, 8, 10} {
		r, err := Verify(seq(h.rows[boundary:]), h.heads[boundary], h.seals, keys)
		if err != nil || r.After != int64(boundary) || r.Sealed != 10 {
			t.Errorf("from row %d: %v\n%s", boundary, err, r)
		}
	}
	if _, err := Verify(seq(h.rows[5:]), h.heads[5], h.seals, keys); err == nil || errors.Is(err, ErrTampered) {
		t.Errorf("began at a head that nobody signed: %v", err)
	}
	wrong := h.heads[4]
	wrong.Hash[0] ^= 1
	if _, err := Verify(seq(h.rows[4:]), wrong, h.seals, keys); err == nil {
		t.Error("began at a hash that nobody signed")
	}
	r, err := Verify(seq(h.rows[6:]), h.heads[4], h.seals, keys)
	if got := findings(r); err == nil || got != "rows 5 to 6 missing" {
		t.Errorf("more was erased than the boundary says: %q, %v", got, err)
	}
	r, err = Verify(seq(h.rows[3:]), h.heads[4], h.seals, keys)
	if got := findings(r); err == nil || got != "row 4 inserted" {
		t.Errorf("a row from before the boundary: %q, %v", got, err)
	}
	r, err = Verify(seq(slices.Concat([]Row{forge(acme, h.rows[2], 5, other())}, h.rows[5:])), h.heads[4], h.seals, keys)
	if got := findings(r); err == nil || got != "row 5 altered" {
		t.Errorf("the first row is another: %q, %v", got, err)
	}
}

func TestBoundary(t *testing.T) {
	heads := []DayHead{{Day: "2026-09-03", Head: Head{acme, 9, firmware.Sum(nil)}}, {Day: "2026-09-01", Head: Head{acme, 4, firmware.Sum(nil)}},
		{Day: "2026-09-02", Head: Head{acme, 7, firmware.Sum(nil)}}}
	for keep, want := range map[Day]int64{"2026-09-01": 0, "2026-09-02": 4, "2026-09-03": 7, "2027-01-01": 9} {
		if h, ok := Boundary(heads, keep); h.Seq != want || ok != (want > 0) {
			t.Errorf("to keep %s: row %d, %v; want %d", keep, h.Seq, ok, want)
		}
	}
}

func TestHeads(t *testing.T) {
	ours, theirs := signerOf(t, 1), signerOf(t, 2)
	h := build(t, ours, 12, 4, 8, 10)
	seal := func(day Day, head Head, s keyfile.Signer) SignedHead {
		x := &history{}
		x.seal(t, day, head, s)
		return x.seals[0]
	}
	wrong := h.heads[6]
	wrong.Hash[0] ^= 1
	for _, tc := range []struct {
		name string
		more SignedHead
		want string
	}{
		{"by another key", seal("2026-09-02", h.heads[6], theirs), "bad head"},
		{"of another chain", seal("2026-09-02", Head{"tenant/bolt", 6, h.heads[6].Hash}, ours), "bad head"},
		{"torn", h.seals[0][:100], "bad head"},
		{"of another history", seal("2026-09-02", wrong, ours), "row 6 forked"},
		{"two of one row", seal("2026-09-02", Head{acme, 8, firmware.Sum(nil)}, ours), "row 8 forked"},
		{"later and shorter", seal("2026-09-09", h.heads[9], ours), "row 10 forked"},
		{"again", h.seals[1], ""},
		{"of a day without rows", seal("2026-09-04", h.heads[10], ours), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Verify(seq(h.rows), Start(acme), append(slices.Clone(h.seals), tc.more), keysOf(t, ours))
			if got := findings(r); got != tc.want || errors.Is(err, ErrTampered) != (tc.want != "") {
				t.Errorf("found %q, want %q: %v\n%s", got, tc.want, err, r)
			}
			if spans(r.Proven) != "rows 1 to 10" {
				t.Errorf("proven %v", r.Proven)
			}
		})
	}
}

// TestKeptHeadShowsACut: who may write to the database deletes the newest rows and heads,
// and only the copy that an auditor has kept shows it.
func TestKeptHeadShowsACut(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 12, 4, 8, 10)
	if _, err := Verify(seq(h.rows[:5]), Start(acme), h.seals[:1], keysOf(t, s)); err != nil {
		t.Errorf("it is thought to be seen without a kept head: %v", err)
	}
	r, err := Verify(seq(h.rows[:5]), Start(acme), []SignedHead{h.seals[0], h.seals[2]}, keysOf(t, s))
	if got := findings(r); err == nil || got != "rows 6 to 10 missing" || !strings.Contains(r.String(), "cut off at its end: the head signed for 2026-09-03 has row 10") {
		t.Errorf("with a kept head: %q, %v", got, err)
	}
}

func TestDamageIsBounded(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 400, 400)
	bad := slices.Clone(h.rows)
	for i := range bad {
		bad[i].Hash = firmware.Digest{}
	}
	gaps := slices.DeleteFunc(slices.Clone(h.rows), func(r Row) bool { return r.Entry[1]%2 == 0 })
	back := slices.Clone(h.rows)
	slices.Reverse(back)
	for name, rows := range map[string][]Row{"all altered": bad, "every other deleted": gaps, "backwards": back} {
		r, err := Verify(seq(rows), Start(acme), h.seals, keysOf(t, s))
		if !errors.Is(err, ErrTampered) || r.Rows > 200 || len(r.Findings) > 3*most || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Fault == Hopeless }) {
			t.Errorf("%s: %d rows read, %d findings, %v", name, r.Rows, len(r.Findings), err)
		}
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	h := build(t, signerOf(t, 1), 3)
	broken := errors.New("disk on fire")
	rows := func(yield func(Row, error) bool) { _ = yield(h.rows[0], nil) && yield(Row{}, broken) }
	if r, err := Verify(rows, Start(acme), nil, nil); !errors.Is(err, broken) || !reflect.DeepEqual(r, Report{}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Verify(rows, Start("tenant/"), nil, nil); err == nil {
		t.Error("a chain without a name was checked")
	}
}

func TestEitherKeyAlgorithm(t *testing.T) {
	key, err := keyfile.Generate(keyfile.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keyfile.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	h := build(t, s, 3, 3)
	keys, err := NewKeys(signerPub(t, signerOf(t, 9)), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(seq(h.rows), Start(acme), h.seals, keys); err != nil || r.Sealed != 3 {
		t.Errorf("%v\n%s", err, r)
	}
}

func signerPub(t testing.TB, s keyfile.Signer) crypto.PublicKey {
	t.Helper()
	pub, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func BenchmarkVerify(b *testing.B) {
	s := signerOf(b, 1)
	h := build(b, s, 10_000, 10_000)
	keys := keysOf(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(seq(h.rows), Start(acme), h.seals, keys); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
}

func ExampleReport() {
	r := Report{Chain: acme, Rows: 5, Last: 7, Heads: 1, Sealed: 6, Day: "2026-09-01", Proven: []Span{{1, 2}, {5, 6}},
		Findings: []Finding{{Missing, Span{3, 4}, "no row has the number, and later ones are there"}}}
	fmt.Print(r)
	// Output:
	// audit chain tenant/acme: 5 rows read, the last is number 7
	// rows 1 to 2: proven by signed heads
	// rows 5 to 6: proven by signed heads
	// row 7: no signed head vouches for them yet; nothing would show that they, or others after them, were cut off or rewritten
	// signed heads that agree: 1, the newest of 2026-09-01; were newer ones made and deleted, only a copy kept elsewhere shows it
	// rows 3 to 4: missing: no row has the number, and later ones are there
}
