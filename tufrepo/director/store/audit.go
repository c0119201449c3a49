package store

import (
	"errors"
	"fmt"
	"time"
)

// AuditEntry is one link of a tenant's audit chain. What the hashes are made of is the
// caller's; the store keeps what it is given.
type AuditEntry struct {
	Tenant  string // empty for the chain of the service
	Seq     int64  // from 1
	Time    time.Time
	Actor   string
	Role    string
	Action  string
	Object  string
	Outcome string
	Detail  []byte // JSON
	Prev    []byte // hash of the entry before
	Hash    []byte
	Entry   []byte // as it was hashed; what is above is for searching
}

const selectAudit = "SELECT tenant, seq, at, actor, role, action, object, outcome, detail, prev, hash, entry FROM audit"

func scanAudit(r scanner) (AuditEntry, error) {
	var a AuditEntry
	var at int64
	err := r.Scan(&a.Tenant, &a.Seq, &at, &a.Actor, &a.Role, &a.Action, &a.Object, &a.Outcome, &a.Detail, &a.Prev, &a.Hash, &a.Entry)
	a.Time = time.Unix(0, at).UTC()
	return a, err
}

// AuditLast is where a chain ends: number and hash of its last entry, also of one that was
// pruned; 0 and nothing for a chain that has not begun.
func (t *Tx) AuditLast(tenant string) (seq int64, hash []byte, err error) {
	return t.auditEnd("SELECT seq, hash FROM audit_chains WHERE tenant = ?", tenant)
}

// AuditStart is the last entry that was pruned: what Prev of the first one that is left must
// be. 0 and nothing where nothing was pruned.
func (t *Tx) AuditStart(tenant string) (seq int64, hash []byte, err error) {
	return t.auditEnd("SELECT start_seq, start_hash FROM audit_chains WHERE tenant = ?", tenant)
}

func (t *Tx) auditEnd(query, tenant string) (seq int64, hash []byte, err error) {
	_, err = get(t, func(r scanner) (int64, error) { return 0, r.Scan(&seq, &hash) }, query, tenant)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return seq, hash, err
}

// AppendAudit adds an entry. Its number must be one above the last, else ErrConflict: read
// AuditLast in the same update. Updates that do so run again where another came first.
func (t *Tx) AppendAudit(a AuditEntry) error {
	last, _, err := t.AuditLast(a.Tenant)
	if err != nil {
		return err
	}
	if a.Seq != last+1 {
		return fmt.Errorf("%w: entry %d cannot follow entry %d of the audit chain", ErrConflict, a.Seq, last)
	}
	// This row is what two updates have in common.
	if err := t.do(`INSERT INTO audit_chains (tenant, seq, hash, start_seq, start_hash) VALUES (?, ?, ?, 0, ?)
	  ON CONFLICT (tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash`, a.Tenant, a.Seq, blob(a.Hash), []byte{}); err != nil {
		return err
	}
	return t.do(`INSERT INTO audit (tenant, seq, at, actor, role, action, object, outcome, detail, prev, hash, entry)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, a.Tenant, a.Seq, a.Time.UnixNano(), a.Actor, a.Role, a.Action, a.Object, a.Outcome,
		string(a.Detail), blob(a.Prev), blob(a.Hash), blob(a.Entry))
}

// blob is b for a column that must not be empty of a value.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// AuditQuery picks entries of one chain. Empty members but Tenant pick all.
type AuditQuery struct {
	Tenant                string // empty for the chain of the service
	After, Before         int64  // numbers above After, and below Before unless that is 0
	Since, Until          time.Time
	Actor, Action, Object string
	Newest                bool // the newest first
	Limit                 int  // zero for 1000
}

// Audit returns entries by number.
func (t *Tx) Audit(q AuditQuery) ([]AuditEntry, error) {
	w := where{}
	w.and("tenant = ?", q.Tenant)
	w.and("seq > ?", q.After)
	if q.Before != 0 {
		w.and("seq < ?", q.Before)
	}
	if !q.Since.IsZero() {
		w.and("at >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		w.and("at < ?", q.Until.UnixNano())
	}
	w.equal("actor", q.Actor)
	w.equal("action", q.Action)
	w.equal("object", q.Object)
	order := " ORDER BY seq LIMIT ?"
	if q.Newest {
		order = " ORDER BY seq DESC LIMIT ?"
	}
	return list(t, scanAudit, selectAudit+w.text()+order, append(w.args, limit(q.Limit))...)
}

// AuditTenants returns the names of all chains.
func (t *Tx) AuditTenants() ([]string, error) {
	return list(t, scanOne[string], "SELECT tenant FROM audit_chains ORDER BY tenant")
}

// PruneAudit removes the entries of a chain below a number and keeps the hash that the rest
// follows on. ErrNotFound if the entry before that number is not there.
func (t *Tx) PruneAudit(tenant string, below int64) error {
	hash, err := get(t, scanOne[[]byte], "SELECT hash FROM audit WHERE tenant = ? AND seq = ?", tenant, below-1)
	if err != nil {
		return err
	}
	if err := t.do("UPDATE audit_chains SET start_seq = ?, start_hash = ? WHERE tenant = ?", below-1, hash, tenant); err != nil {
		return err
	}
	return t.do("DELETE FROM audit WHERE tenant = ? AND seq < ?", tenant, below)
}

// AuditHead is the end of a chain on a day, signed.
type AuditHead struct {
	Tenant    string
	Day       string // 2006-01-02
	Seq       int64
	Hash      []byte
	Signature []byte
	KeyID     string
}

// AddAuditHead stores a day's head; ErrConflict if the day has one.
func (t *Tx) AddAuditHead(h AuditHead) error {
	return t.do("INSERT INTO audit_heads (tenant, day, seq, hash, signature, key_id) VALUES (?, ?, ?, ?, ?, ?)",
		h.Tenant, h.Day, h.Seq, blob(h.Hash), blob(h.Signature), h.KeyID)
}

// SetAuditHead stores a day's head, in place of one of that day that has a lower number.
func (t *Tx) SetAuditHead(h AuditHead) error {
	return t.do(`INSERT INTO audit_heads (tenant, day, seq, hash, signature, key_id) VALUES (?, ?, ?, ?, ?, ?)
	  ON CONFLICT (tenant, day) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, signature = excluded.signature,
	  key_id = excluded.key_id WHERE excluded.seq > audit_heads.seq`, h.Tenant, h.Day, h.Seq, blob(h.Hash), blob(h.Signature), h.KeyID)
}

// AuditHeads returns the heads of a chain by day, from one day on. They outlive the entries.
func (t *Tx) AuditHeads(tenant, from string, most int) ([]AuditHead, error) {
	return list(t, func(r scanner) (h AuditHead, err error) {
		err = r.Scan(&h.Tenant, &h.Day, &h.Seq, &h.Hash, &h.Signature, &h.KeyID)
		return h, err
	}, "SELECT tenant, day, seq, hash, signature, key_id FROM audit_heads WHERE tenant = ? AND day >= ? ORDER BY day LIMIT ?", tenant, from, limit(most))
}
