package director

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

const (
	// importBatch is how many devices are stored in one update, so that reports get their turn.
	importBatch = 500
	listPrefix  = "list:"
	listClaim   = "list" // stands with a device that came in by a list
)

// Import puts devices on a tenant's list, or renews what stands there under the same serial.
// What has enrolled stays bound to its key. It may be repeated after an error.
func (d *Director) Import(ctx context.Context, tenant string, rows []ExpectedRow) error {
	note := auditlog.Of(ctx)
	note.Tell("tenant/"+tenant, map[string]any{"devices": len(rows)})
	for batch := range slices.Chunk(rows, importBatch) {
		if err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return d.expect(tx, tenant, batch) }); err != nil {
			return err
		}
	}
	d.Log.Info("expected devices imported", "tenant", tenant, "devices", len(rows))
	return nil
}

func (d *Director) expect(tx *store.Tx, tenant string, rows []ExpectedRow) error {
	if err := hasTenant(tx, tenant); err != nil {
		return err
	}
	for _, r := range rows {
		if err := other(tx, tenant, r); err != nil {
			return err
		}
		if err := tx.AddExpected(store.Expected{Tenant: tenant, Serial: r.Serial, MAC: r.MAC, Product: r.Product, Hardware: r.Hardware,
			Group: r.Group, Added: d.now()}); err != nil {
			return err
		}
	}
	return nil
}

// other refuses a MAC that stands under another serial.
func other(tx *store.Tx, tenant string, r ExpectedRow) error {
	if r.MAC == "" {
		return nil
	}
	e, err := tx.Expected(tenant, "", r.MAC)
	if errors.Is(err, store.ErrNotFound) || err == nil && e.Serial == r.Serial {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse(wire.CodeConflict, "MAC %s stands on the list under serial %q, and now under %q: remove the one that is wrong with fairlead-repo enroll remove", r.MAC, e.Serial, r.Serial)
}

// RemoveExpected takes a device off the list. One that has enrolled stays enrolled.
func (d *Director) RemoveExpected(ctx context.Context, tenant string, n int64) error {
	auditlog.Of(ctx).Tell(fmt.Sprintf("expected/%d", n), nil)
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return tx.RemoveExpected(tenant, n) })
	return notFound(err, "number %d is not on the list of tenant %s: look at fairlead-repo enroll list", n, tenant)
}

// byList is the ticket of a device that is expected. Serial and MAC are no secrets: they let
// in the first key that comes with them, and no other; see package store about the binding.
func (e *enrolment) byList(tenant string) (ticket, error) {
	r := e.request
	none := refuse(wire.CodeClaimUnknown, "serial %q with MAC %q is not on the list %.64q as product %s for hardware %s, or that list is not in use: "+
		"ask the operator", r.Serial, r.MAC, tenant, r.Product, r.Hardware)
	mac, err := ParseMAC(r.MAC)
	if err != nil {
		mac = "" // a row that has a MAC will not fit
	}
	if wire.CheckID(tenant) != nil {
		return ticket{}, none
	}
	row, err := e.tx.Expected(tenant, r.Serial, mac)
	if errors.Is(err, store.ErrNotFound) {
		return ticket{}, none
	}
	if err != nil {
		return ticket{}, err
	}
	policy, err := policyOf(e.tx, tenant)
	if err != nil {
		return ticket{}, err
	}
	if !policy.allows(WayList) || !fits(row.Serial, r.Serial) || !fits(row.MAC, mac) || !fits(row.Product, r.Product) || !fits(row.Hardware, r.Hardware) {
		return ticket{}, none
	}
	if len(row.Key) > 0 && !bytes.Equal(row.Key, e.key) {
		return ticket{}, e.cloned(tenant, store.Device{ID: row.Device, Serial: row.Serial, MAC: row.MAC})
	}
	return ticket{way: WayList, tenant: tenant, claim: listClaim, group: row.Group, use: func(_ bool, dev store.Device) error {
		return e.tx.BindExpected(row.N, dev.ID, e.key)
	}}, nil
}

func fits(want, have string) bool { return want == "" || want == have }
