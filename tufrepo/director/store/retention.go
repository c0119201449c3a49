package store

import (
	"context"
	"fmt"
	"time"
)

// slice is how many devices are pruned or purged in one update, so that reports get their turn
// in between.
const slice = 100

// PruneDeviceData removes what a tenant's devices said before a time: their events, and
// updates that have changed last before, but for each device's newest. It returns the number
// of rows. It may be interrupted at any time.
func (s *Store) PruneDeviceData(ctx context.Context, tenant string, before time.Time) (rows int64, err error) {
	return s.slices(ctx, tenant, func(tx *Tx, devices []string) (rows int64, err error) {
		for _, id := range devices {
			events, err := tx.exec("DELETE FROM events WHERE device = ? AND received < ?", id, before.Unix())
			if err != nil {
				return 0, err
			}
			updates, err := tx.exec(`DELETE FROM updates WHERE device = ? AND changed < ?
			  AND n < (SELECT max(n) FROM updates WHERE device = ?1)`, id, before.Unix())
			if err != nil {
				return 0, err
			}
			rows += events + updates
		}
		return rows, nil
	})
}

// slices calls f with all devices of a tenant, some at a time, each time in an update, and
// adds up what it returns.
func (s *Store) slices(ctx context.Context, tenant string, f func(*Tx, []string) (int64, error)) (sum int64, err error) {
	for after := ""; ; {
		var devices []string
		if err := s.View(ctx, func(tx *Tx) (err error) {
			devices, err = list(tx, scanOne[string], "SELECT id FROM devices WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?", tenant, after, slice)
			return err
		}); err != nil || len(devices) == 0 {
			return sum, err
		}
		var n int64
		if err := s.Update(ctx, func(tx *Tx) (err error) {
			n, err = f(tx, devices)
			return err
		}); err != nil {
			return sum, err
		}
		sum, after = sum+n, devices[len(devices)-1]
	}
}

// PruneRollouts removes a tenant's rollouts that had finished before a time.
func (t *Tx) PruneRollouts(tenant string, before time.Time) error {
	const old = "SELECT id FROM rollouts WHERE tenant = ? AND finished > 0 AND finished < ?"
	for _, query := range []string{
		"DELETE FROM rollout_events WHERE rollout IN (" + old + ")", "DELETE FROM rollout_rows WHERE rollout IN (" + old + ")",
		"DELETE FROM rollouts WHERE id IN (" + old + ")",
	} {
		if err := t.do(query, tenant, before.Unix()); err != nil {
			return err
		}
	}
	return nil
}

// ofDevice are the tables that have rows of a device, by their column device.
func ofDevice() []string {
	return []string{"events", "updates", "directions", "device_words", "rollout_rows"}
}

// ofTenant are the tables that have rows of a tenant, by their column tenant, in the order in
// which they can be emptied.
func ofTenant() []string {
	return []string{"rollouts", "expected", "clones", "codes", "customs", "policies", "settings", "groups", "tokens", "roles",
		"grants", "audit", "audit_chains", "audit_heads", "claims", "roots"}
}

// PurgeTenant removes a tenant and everything of it, its audit chain included. Its devices are
// strangers from then on; see to it that nobody works with the tenant meanwhile. If it is
// interrupted, part of the tenant is left: call it again. ErrNotFound if there is no such
// tenant.
func (s *Store) PurgeTenant(ctx context.Context, tenant string) error {
	if err := s.View(ctx, func(tx *Tx) error { _, err := tx.Tenant(tenant); return err }); err != nil {
		return err
	}
	if _, err := s.slices(ctx, tenant, (*Tx).purgeDevices); err != nil {
		return fmt.Errorf("removing tenant %s: %w", tenant, err)
	}
	err := s.Update(ctx, func(tx *Tx) error { return tx.purgeTenant(tenant) })
	if err != nil {
		return fmt.Errorf("removing tenant %s: %w", tenant, err)
	}
	return nil
}

func (t *Tx) purgeDevices(devices []string) (int64, error) {
	for _, table := range ofDevice() {
		if err := inList(t, devices, func(id string) any { return id }, "DELETE FROM "+table+" WHERE device IN "); err != nil {
			return 0, err
		}
	}
	return int64(len(devices)), inList(t, devices, func(id string) any { return id }, "DELETE FROM devices WHERE id IN ")
}

func (t *Tx) purgeTenant(tenant string) error {
	if err := t.do("DELETE FROM rollout_events WHERE rollout IN (SELECT id FROM rollouts WHERE tenant = ?)", tenant); err != nil {
		return err
	}
	if err := t.do("DELETE FROM leases WHERE name IN (SELECT '"+rolloutLease+"' || id FROM rollouts WHERE tenant = ?)", tenant); err != nil {
		return err
	}
	if err := t.do("DELETE FROM grants WHERE grantee = ?", tenant); err != nil {
		return err
	}
	for _, table := range ofTenant() {
		if err := t.do("DELETE FROM "+table+" WHERE tenant = ?", tenant); err != nil {
			return err
		}
	}
	return t.one("DELETE FROM tenants WHERE name = ?", tenant)
}
