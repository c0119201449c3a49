package auditlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// Seal signs the head of every chain that has grown since it was signed last, for the day of
// now. A chain that has a head of that day gets a newer one in its place. Rows that do not
// follow on the head that was signed last are not signed: audit.ErrTampered.
func Seal(ctx context.Context, s *store.Store, key keyfile.Signer, keys audit.Keys, now time.Time) error {
	var chains []string
	err := s.View(ctx, func(tx *store.Tx) (err error) {
		chains, err = tx.AuditTenants()
		return err
	})
	for _, tenant := range chains {
		e := verifyNew(ctx, s, tenant, keys)
		if e == nil {
			e = s.Update(ctx, func(tx *store.Tx) error { return seal(tx, tenant, key, now) })
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("signing the head of audit chain %s: %w", Chain(tenant), e))
		}
	}
	return err
}

// verifyNew checks the rows since the newest signed head.
func verifyNew(ctx context.Context, s *store.Store, tenant string, keys audit.Keys) error {
	sealed, err := ReadSealed(ctx, s, tenant)
	if err != nil {
		return err
	}
	from, heads := sealed.From, sealed.Heads
	if n := len(heads); n > 0 {
		last, err := keys.Open(heads[n-1])
		if err != nil {
			return err
		}
		from, heads = last.Head, heads[n-1:]
	}
	_, err = audit.Verify(Rows(ctx, s, tenant, from.Seq), from, heads, keys)
	return err
}

func seal(tx *store.Tx, tenant string, key keyfile.Signer, now time.Time) error {
	h, err := Head(tx, tenant)
	if err != nil {
		return err
	}
	grown, err := hasGrown(tx, tenant, h)
	if err != nil || !grown {
		return err
	}
	day := audit.DayOf(now)
	signed, err := audit.SignHead(day, h, key)
	if err != nil {
		return err
	}
	if err := tx.SetAuditHead(store.AuditHead{Tenant: tenant, Day: string(day), Seq: h.Seq, Hash: h.Hash[:], Signature: signed, KeyID: key.ID()}); err != nil {
		return err
	}
	return Append(tx, tenant, audit.Entry{Time: now, Actor: audit.Actor{Kind: audit.System, ID: "seal"}, Action: audit.AuditSeal, Outcome: audit.OK,
		Detail: Detail(map[string]any{"day": day, "seq": h.Seq, "hash": h.Hash, "key": key.ID()})})
}

// hasGrown says whether there is more after the last signed head than the entry that tells of
// it.
func hasGrown(tx *store.Tx, tenant string, h audit.Head) (bool, error) {
	last, err := tx.Audit(store.AuditQuery{Tenant: tenant, Newest: true, Limit: 1})
	if err != nil || len(last) == 0 {
		return false, err
	}
	return last[0].Seq == h.Seq && last[0].Action != string(audit.AuditSeal), nil
}
