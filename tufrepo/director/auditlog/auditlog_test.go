package auditlog_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

var server storetest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	server.Stop()
	os.Exit(code)
}

// both runs a test on both engines, each with a new database.
func both(t *testing.T, test func(t *testing.T, where string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "fairlead.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, server.Database(t)) })
}

// book is a database with a chain of a tenant.
type book struct {
	*store.Store
	t      testing.TB
	tenant string
	where  string // path or URL
	key    keyfile.Signer
	keys   audit.Keys
}

func newBook(t testing.TB, where string, rows int) *book {
	t.Helper()
	b := &book{t: t, tenant: "acme", where: where}
	var err error
	b.Store, err = store.Open(t.Context(), b.where, store.Options{})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	b.key, err = keyfile.NewSigner(key)
	must(t, err)
	b.keys, err = audit.NewKeys(key.Public())
	must(t, err)
	b.fill(rows)
	return b
}

func (b *book) fill(rows int) {
	for i := range rows {
		b.append(i)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entry(n int) audit.Entry {
	return audit.Entry{Time: noon.Add(time.Duration(n) * time.Second), Actor: audit.Actor{Kind: audit.System, ID: "test"},
		Action: audit.DirectSend, Object: fmt.Sprintf("device/%d", n), Outcome: audit.OK, Detail: auditlog.Detail(map[string]int{"n": n})}
}

func (b *book) append(n int) {
	b.t.Helper()
	must(b.t, b.Update(b.t.Context(), func(tx *store.Tx) error { return auditlog.Append(tx, b.tenant, entry(n)) }))
}

func (b *book) seal(at time.Time) error {
	return auditlog.Seal(b.t.Context(), b.Store, b.key, b.keys, at)
}

func (b *book) verify() (audit.Report, error) {
	return auditlog.Verify(b.t.Context(), b.Store, b.tenant, b.keys, nil)
}

// behind changes the database behind everybody's back, by a statement in SQLite's dialect.
func (b *book) behind(statement string) {
	b.t.Helper()
	if strings.HasPrefix(b.where, "postgres:") {
		c, err := pgx.Connect(b.t.Context(), b.where)
		must(b.t, err)
		defer c.Close(context.Background())
		tag, err := c.Exec(b.t.Context(), strings.NewReplacer("zeroblob(32)", "decode(repeat('00', 32), 'hex')", "BLOB", "BYTEA").Replace(statement))
		if err != nil || tag.RowsAffected() != 1 {
			b.t.Fatal(tag, err)
		}
		return
	}
	db, err := sql.Open("sqlite", b.where)
	must(b.t, err)
	defer db.Close()
	_, err = db.Exec("PRAGMA busy_timeout = 5000; " + statement)
	must(b.t, err)
}

func TestVerifyFindsEveryColumn(t *testing.T) { both(t, verifyFindsEveryColumn) }

func verifyFindsEveryColumn(t *testing.T, where string) {
	b := newBook(t, where, 0)
	cases := []struct{ set, want string }{
		{"at = at + 1000000000", "searching"}, {"actor = 'nobody'", "searching"}, {"role = 'admin'", "searching"},
		{"action = 'token.add'", "searching"}, {"object = ''", "searching"}, {"outcome = 'failed'", "searching"}, {"detail = '{}'", "searching"},
		{"entry = NULL", "row 3"}, {"entry = CAST(substr(entry, 1, 20) AS BLOB)", "row 3"}, {"hash = CAST(zeroblob(32) AS BLOB)", "row 3"},
		{"prev = zeroblob(32)", "row 3"}, {"seq = 30", "row 3"}, {"tenant = ''", "row 3"},
	}
	for i := range cases {
		b.tenant = fmt.Sprint("acme", i)
		b.fill(5)
	}
	must(t, b.seal(noon))
	for i, c := range cases {
		b.tenant = fmt.Sprint("acme", i)
		if r, err := b.verify(); err != nil || r.Sealed != 5 || r.Last != 6 {
			t.Fatalf("untouched: %v\n%s", err, r)
		}
		b.behind("UPDATE audit SET " + c.set + " WHERE tenant = '" + b.tenant + "' AND seq = 3")
		r, err := b.verify()
		if !errors.Is(err, audit.ErrTampered) || !strings.Contains(r.String(), c.want) || !strings.Contains(r.String(), "row") {
			t.Errorf("%s: %v\n%s", c.set, err, r)
		}
	}
}

func TestSealOnceForWhatIsNew(t *testing.T) { both(t, sealOnceForWhatIsNew) }

func sealOnceForWhatIsNew(t *testing.T, where string) {
	b := newBook(t, where, 3)
	heads := func() int {
		s, err := auditlog.ReadSealed(t.Context(), b.Store, "acme")
		must(t, err)
		return len(s.Heads)
	}
	must(t, b.seal(noon))
	must(t, b.seal(noon))
	must(t, b.seal(noon.AddDate(0, 0, 1)))
	r, err := b.verify()
	if err != nil || r.Last != 4 || heads() != 1 {
		t.Errorf("nothing new: %d heads, %v\n%s", heads(), err, r)
	}
	b.append(4)
	must(t, b.seal(noon.Add(time.Hour)))
	r, err = b.verify()
	if err != nil || r.Sealed != 5 || heads() != 1 {
		t.Errorf("the same day: %d heads, %v\n%s", heads(), err, r)
	}
	b.append(5)
	must(t, b.seal(noon.AddDate(0, 0, 2)))
	r, err = b.verify()
	if err != nil || r.Sealed != 7 || heads() != 2 || r.Day != "2026-09-03" {
		t.Errorf("another day: %d heads, %v\n%s", heads(), err, r)
	}
}

// TestWhatWasChangedIsNotSealed: a signature would vouch for it.
func TestWhatWasChangedIsNotSealed(t *testing.T) { both(t, whatWasChangedIsNotSealed) }

func whatWasChangedIsNotSealed(t *testing.T, where string) {
	b := newBook(t, where, 3)
	must(t, b.seal(noon))
	b.append(4)
	b.append(5)
	b.behind("DELETE FROM audit WHERE tenant = 'acme' AND seq = 5")
	if err := b.seal(noon.AddDate(0, 0, 1)); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("sealing what was changed: %v", err)
	}
	if s, err := auditlog.ReadSealed(t.Context(), b.Store, "acme"); err != nil || len(s.Heads) != 1 {
		t.Errorf("%d heads, %v", len(s.Heads), err)
	}
}

// TestPrunedChain begins at a boundary that was signed.
func TestPrunedChain(t *testing.T) { both(t, prunedChain) }

func prunedChain(t *testing.T, where string) {
	b := newBook(t, where, 3)
	must(t, b.seal(noon))
	b.append(4)
	must(t, b.seal(noon.AddDate(0, 0, 1)))
	must(t, b.Update(t.Context(), func(tx *store.Tx) error { return tx.PruneAudit("acme", 4) }))
	if r, err := b.verify(); err != nil || r.After != 3 {
		t.Errorf("%v\n%s", err, r)
	}
}

func TestNoteAndChangeAreOne(t *testing.T) { both(t, noteAndChangeAreOne) }

func noteAndChangeAreOne(t *testing.T, where string) {
	b := newBook(t, where, 0)
	count := func() int {
		n := 0
		for _, err := range auditlog.Rows(t.Context(), b.Store, "acme", 0) {
			must(t, err)
			n++
		}
		return n
	}
	n := &auditlog.Note{Tenant: "acme", Entry: entry(1)}
	ctx := auditlog.With(context.Background(), n)
	broken := errors.New("broken")
	if err := auditlog.Update(ctx, b.Store, func(*store.Tx) error { return broken }); !errors.Is(err, broken) || count() != 0 || n.Written() {
		t.Errorf("a change that failed: %v, %d entries", err, count())
	}
	for range 2 { // the second has nothing to tell any more
		must(t, auditlog.Update(ctx, b.Store, func(*store.Tx) error { return nil }))
	}
	if count() != 1 || !n.Written() {
		t.Errorf("%d entries", count())
	}
	bad := &auditlog.Note{Tenant: "acme", Entry: entry(2)}
	bad.Action = "no.such"
	err := auditlog.Update(auditlog.With(context.Background(), bad), b.Store, func(tx *store.Tx) error { return tx.AddTenant("acme", noon) })
	if err == nil || count() != 1 {
		t.Errorf("an entry that cannot be written: %v, %d entries", err, count())
	}
	if err := b.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Tenant("acme"); return err }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the change was made without its entry: %v", err)
	}
}

func TestDetailIsBounded(t *testing.T) {
	big := auditlog.Detail(map[string]string{"x": strings.Repeat("x", audit.MaxDetail)})
	if len(big) > audit.MaxDetail || !strings.Contains(string(big), "left_out") {
		t.Errorf("%.100s", big)
	}
	if got := string(auditlog.Detail(map[string]int{"n": 1})); got != `{"n":1}` {
		t.Error(got)
	}
}

// BenchmarkVerify is a check of a chain in the database.
func BenchmarkVerify(b *testing.B) {
	const rows = 20_000
	book := newBook(b, filepath.Join(b.TempDir(), "fairlead.db"), 0)
	must(b, book.Update(b.Context(), func(tx *store.Tx) error {
		for n := range rows {
			if err := auditlog.Append(tx, "acme", entry(n)); err != nil {
				return err
			}
		}
		return nil
	}))
	must(b, book.seal(noon))
	for b.Loop() {
		if _, err := book.verify(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
