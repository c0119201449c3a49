package service

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) auditRoutes() (out []operatorRoute) {
	for _, of := range []struct{ path, words string }{{"/api/v1", "the service"}, {"/api/v1/tenants/{tenant}", "a tenant"}} {
		out = append(out,
			operatorRoute{pattern: "GET " + of.path + "/audit", permission: access.AuditRead, handle: s.getAudit,
				about: "list entries of the audit log of " + of.words + ", the newest first",
				query: []string{"actor", "action", "object", "outcome", "since", "until", "before", "limit"}, out: api.AuditEntries{}},
			operatorRoute{pattern: "GET " + of.path + "/audit/heads", permission: access.AuditRead, handle: s.getAuditHeads,
				about: "the signed heads of the audit log of " + of.words + ", and the keys that signed them", out: api.AuditHeads{}},
			operatorRoute{pattern: "POST " + of.path + "/audit/export", permission: access.AuditRead, action: audit.AuditExport, handle: s.postAuditExport,
				about: "all rows of the audit log of " + of.words + ", as they were hashed; get the heads first"},
			operatorRoute{pattern: "POST " + of.path + "/audit/verify", permission: access.AuditRead, action: audit.AuditVerify, handle: s.postAuditVerify,
				about: "check the audit log of " + of.words, out: api.AuditReport{}},
		)
	}
	return out
}

// scanned is how many entries a list looks through in one call.
const scanned = 50_000

func (s *Service) getAudit(w http.ResponseWriter, r *http.Request, c *call) error {
	q, before, err := auditQuery(r)
	if err != nil {
		return err
	}
	out := api.AuditEntries{Entries: []api.AuditEntry{}}
	most := limit(r)
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		for seen := 0; ; {
			some, err := tx.Audit(store.AuditQuery{Tenant: c.Tenant, Before: before, Since: q.Since, Until: q.Until, Newest: true})
			if err != nil || len(some) == 0 {
				out.Next = 0
				return err
			}
			for _, row := range some {
				e, err := audit.ParseEntry(row.Entry)
				if err != nil {
					return badRequest("row " + strconv.FormatInt(row.Seq, 10) + " is not an entry: run fairlead-repo audit verify")
				}
				if q.Match(e) {
					out.Entries = append(out.Entries, entryOut(e))
				}
				before, seen = row.Seq, seen+1
				if out.Next = before; len(out.Entries) == most || seen == scanned {
					return nil
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

// auditQuery reads the parameters of a list.
func auditQuery(r *http.Request) (out audit.Query, before int64, err error) {
	q := r.URL.Query()
	out = audit.Query{Action: q.Get("action"), Object: q.Get("object"), Outcome: audit.Outcome(q.Get("outcome"))}
	kind, id, _ := strings.Cut(q.Get("actor"), "/")
	out.Actor = audit.Actor{Kind: audit.Kind(kind), ID: id}
	for name, t := range map[string]*time.Time{"since": &out.Since, "until": &out.Until} {
		if text := q.Get(name); text != "" && err == nil {
			*t, err = time.Parse(time.RFC3339, text)
		}
	}
	if text := q.Get("before"); text != "" && err == nil {
		before, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return out, 0, badRequest("since and until are times like 2026-09-01T00:00:00Z, before is a number: " + err.Error())
	}
	return out, before, nil
}

func entryOut(e audit.Entry) api.AuditEntry {
	out := api.AuditEntry{Seq: e.Seq, Time: e.Time, Actor: auditlog.ActorText(e.Actor), Role: e.Role, Action: string(e.Action),
		Object: e.Object, Outcome: string(e.Outcome), Detail: e.Detail}
	if e.Source.IsValid() {
		out.Source = e.Source.String()
	}
	return out
}

func (s *Service) getAuditHeads(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := s.tenantThere(r, c); err != nil {
		return err
	}
	sealed, err := auditlog.ReadSealed(r.Context(), s.store, c.Tenant)
	if err != nil {
		return err
	}
	out := api.AuditHeads{Chain: sealed.From.Chain, Heads: []json.RawMessage{}, Keys: s.sealer.PEM,
		From: api.AuditBoundary{Seq: sealed.From.Seq, Hash: sealed.From.Hash.String()}}
	for _, h := range sealed.Heads {
		out.Heads = append(out.Heads, json.RawMessage(h))
	}
	return ok(w, out)
}

func (s *Service) tenantThere(r *http.Request, c *call) error {
	return s.store.View(r.Context(), func(tx *store.Tx) error { return there(tx, c.Tenant) })
}

// postAuditExport notes first that it hands the rows out. A row that cannot be read cuts the
// answer off, so that nobody takes a part for the whole.
func (s *Service) postAuditExport(w http.ResponseWriter, r *http.Request, c *call) error {
	var sealed auditlog.Sealed
	err := auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error { return there(tx, c.Tenant) })
	if err == nil {
		sealed, err = auditlog.ReadSealed(r.Context(), s.store, c.Tenant)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	for row, err := range auditlog.Rows(r.Context(), s.store, c.Tenant, sealed.From.Seq) {
		if err == nil {
			err = audit.WriteRow(w, row)
		}
		if err != nil {
			s.Log.Error("export of an audit log is cut off", "chain", sealed.From.Chain, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

func (s *Service) postAuditVerify(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := s.tenantThere(r, c); err != nil {
		return err
	}
	report, err := auditlog.Verify(r.Context(), s.store, c.Tenant, s.sealer.known, nil)
	if err != nil && !errors.Is(err, audit.ErrTampered) {
		return err
	}
	if err != nil {
		c.Outcome = audit.Failed
	}
	c.Tell("", map[string]any{"rows": report.Rows, "last": report.Last, "sealed": report.Sealed, "findings": len(report.Findings)})
	if err := auditlog.Update(r.Context(), s.store, func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	return ok(w, reportOut(report))
}

func reportOut(r audit.Report) api.AuditReport {
	out := api.AuditReport{Chain: r.Chain, Whole: len(r.Findings) == 0, Rows: r.Rows, After: r.After, Last: r.Last, Heads: r.Heads,
		Sealed: r.Sealed, Day: string(r.Day), Proven: []api.AuditSpan{}, Findings: []api.AuditFinding{}, Text: r.String()}
	for _, p := range r.Proven {
		out.Proven = append(out.Proven, api.AuditSpan(p))
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, api.AuditFinding{Fault: string(f.Fault), Rows: api.AuditSpan(f.Rows), Detail: f.Detail})
	}
	return out
}
