// Package auditlog keeps the chains of package audit in the director's database.
//
// # One transaction
//
// What changes something runs in [Update]. What is to be told of it, the [Note], comes with
// the context, from where it is known who asks; the code that makes the change need not know
// and can add to it: see [Of]. The note is written at the end of the transaction, so that the
// change and its entry are there both or neither. What happens without somebody who asks, such
// as what devices do, calls [Append] within its own transaction.
//
// A context without a note leaves no entry: its caller has another way to tell of it.
package auditlog

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Chain names the chain of a tenant; for the empty name, that of the service.
func Chain(tenant string) string {
	if tenant == "" {
		return audit.ServiceChain
	}
	return audit.TenantChain(tenant)
}

// Append adds an entry to the chain of a tenant, or under the empty name of the service. Its
// number is set here; its time is the caller's.
func Append(tx *store.Tx, tenant string, e audit.Entry) error {
	prev, err := Head(tx, tenant)
	if err != nil {
		return err
	}
	row, head, err := audit.Append(prev, e)
	if err != nil {
		return err
	}
	return tx.AppendAudit(store.AuditEntry{Tenant: tenant, Seq: head.Seq, Time: e.Time, Actor: ActorText(e.Actor), Role: e.Role,
		Action: string(e.Action), Object: e.Object, Outcome: string(e.Outcome), Detail: e.Detail,
		Prev: row.Prev[:], Hash: row.Hash[:], Entry: row.Entry})
}

// Head is where a chain ends now.
func Head(tx *store.Tx, tenant string) (audit.Head, error) {
	seq, hash, err := tx.AuditLast(tenant)
	return head(tenant, seq, hash), err
}

func head(tenant string, seq int64, hash []byte) audit.Head {
	h := audit.Head{Chain: Chain(tenant), Seq: seq}
	copy(h.Hash[:], hash)
	return h
}

// Note is what an update is to leave in the log. It belongs to one caller at a time.
type Note struct {
	Tenant string // whose chain; empty for the service's
	audit.Entry
	written atomic.Bool
}

// Written says whether an update has left it.
func (n *Note) Written() bool { return n.written.Load() }

// Tell sets what is told beside who, what and when: the object, such as "device/9f0c…", and
// details, which become a JSON object of at most audit.MaxDetail bytes, or nil.
func (n *Note) Tell(object string, detail any) {
	n.Object, n.Detail = object, Detail(detail)
}

// Detail is v as an entry's detail. One that is too large is left out, and that is said.
func Detail(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`{"left_out":"it cannot be written"}`)
	}
	if len(b) > audit.MaxDetail {
		return fmt.Appendf(nil, `{"left_out":"%d bytes","sha256":"%s"}`, len(b), firmware.Sum(b))
	}
	return b
}

type key struct{}

// With is ctx with a note for the first update that is made under it.
func With(ctx context.Context, n *Note) context.Context { return context.WithValue(ctx, key{}, n) }

// Of is the note of ctx, to add to, or one that nobody reads.
func Of(ctx context.Context) *Note {
	if n, ok := ctx.Value(key{}).(*Note); ok {
		return n
	}
	return &Note{}
}

// Update runs fn as Store.Update does, and writes the note of ctx in the same transaction,
// unless an earlier one has.
func Update(ctx context.Context, s *store.Store, fn func(tx *store.Tx) error) error {
	n, ok := ctx.Value(key{}).(*Note)
	if !ok || n.Written() {
		return s.Update(ctx, fn)
	}
	err := s.Update(ctx, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if err := Append(tx, n.Tenant, n.Entry); err != nil {
			return fmt.Errorf("writing the audit log, without which nothing is changed: %w", err)
		}
		return nil
	})
	if err == nil {
		n.written.Store(true)
	}
	return err
}

// ActorText is how an actor is written and searched for: "token/k3v9x0a2bq".
func ActorText(a audit.Actor) string {
	if a.ID == "" {
		return string(a.Kind)
	}
	return string(a.Kind) + "/" + a.ID
}
