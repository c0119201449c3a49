package auditlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// page is how many rows are read at a time.
const page = 1000

// Row is an entry as it is stored.
func Row(a store.AuditEntry) audit.Row {
	r := audit.Row{Entry: a.Entry}
	copy(r.Prev[:], a.Prev)
	copy(r.Hash[:], a.Hash)
	return r
}

// Rows yields the rows of a chain after a number, in pages, each of which sees one state of
// the database: a chain that grows meanwhile is read up to what is there at the end.
func Rows(ctx context.Context, s *store.Store, tenant string, after int64) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		for entry, err := range entries(ctx, s, tenant, after) {
			if !yield(Row(entry), err) || err != nil {
				return
			}
		}
	}
}

func entries(ctx context.Context, s *store.Store, tenant string, after int64) iter.Seq2[store.AuditEntry, error] {
	return func(yield func(store.AuditEntry, error) bool) {
		for {
			var some []store.AuditEntry
			err := s.View(ctx, func(tx *store.Tx) (err error) {
				some, err = tx.Audit(store.AuditQuery{Tenant: tenant, After: after, Limit: page})
				return err
			})
			if err != nil {
				yield(store.AuditEntry{}, err)
				return
			}
			for _, one := range some {
				if !yield(one, nil) {
					return
				}
				after = one.Seq
			}
			if len(some) < page {
				return
			}
		}
	}
}

// Sealed are the boundary that the rows of a chain follow on, and its signed heads by day.
type Sealed struct {
	From  audit.Head
	Heads []audit.SignedHead
}

// ReadSealed reads them. Read before the rows, they can be compared with rows that grow.
func ReadSealed(ctx context.Context, s *store.Store, tenant string) (out Sealed, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		seq, hash, err := tx.AuditStart(tenant)
		if err != nil {
			return err
		}
		out = Sealed{From: head(tenant, seq, hash)}
		for day := ""; ; {
			some, err := tx.AuditHeads(tenant, day, page)
			if err != nil {
				return err
			}
			for _, h := range some {
				out.Heads = append(out.Heads, h.Signature)
				day = h.Day + "+" // after that day, and before the next
			}
			if len(some) < page {
				return nil
			}
		}
	})
	return out, err
}

// Verify checks a chain in the database, the columns for searching included. kept are heads
// that were kept elsewhere. Errors are those of audit.Verify.
func Verify(ctx context.Context, s *store.Store, tenant string, keys audit.Keys, kept []audit.SignedHead) (audit.Report, error) {
	sealed, err := ReadSealed(ctx, s, tenant)
	if err != nil {
		return audit.Report{}, err
	}
	var columns []audit.Finding
	rows := func(yield func(audit.Row, error) bool) {
		for entry, err := range entries(ctx, s, tenant, sealed.From.Seq) {
			if f, bad := compare(entry); bad && err == nil && len(columns) < most {
				columns = append(columns, f)
			}
			if !yield(Row(entry), err) || err != nil {
				return
			}
		}
	}
	report, err := audit.Verify(rows, sealed.From, append(sealed.Heads, kept...), keys)
	if err != nil && !errors.Is(err, audit.ErrTampered) || len(columns) == 0 {
		return report, err
	}
	report.Findings = append(report.Findings, columns...)
	return report, fmt.Errorf("audit chain %s: %w: %s (%d findings in all)", report.Chain, audit.ErrTampered, report.Findings[0], len(report.Findings))
}

// most bounds the findings.
const most = 64

// compare looks for columns that say something else than the entry beside them.
func compare(a store.AuditEntry) (audit.Finding, bool) {
	e, err := audit.ParseEntry(a.Entry)
	if err != nil {
		return audit.Finding{}, false // Verify finds that
	}
	same := a.Seq == e.Seq && a.Time.Unix() == e.Time.Unix() && a.Actor == ActorText(e.Actor) && a.Role == e.Role && a.Action == string(e.Action) &&
		a.Object == e.Object && a.Outcome == string(e.Outcome) && string(a.Detail) == string(e.Detail)
	return audit.Finding{Fault: audit.Altered, Rows: audit.Span{From: a.Seq, To: a.Seq}, Detail: "its columns for searching say something else than its entry"}, !same
}
