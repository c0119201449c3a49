package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// fill gives a tenant a row in every table that has rows of tenants.
func fill(tx *store.Tx, tenant string) error {
	device, rollout := tenant+"-d1", tenant+"-r1"
	name := []byte(tenant)
	for _, err := range []error{
		tx.AddTenant(tenant, now), tx.AddTenant("neighbour", now),
		tx.AddRoot(tenant, 1, name), tx.AddClaim(store.Claim{ID: tenant + "-c", Tenant: tenant, Hash: name, Uses: 1, Expires: now, Created: now}),
		tx.AddDevice(store.Device{ID: device, Tenant: tenant, Key: name, Serial: "s-" + tenant, MAC: "m-" + tenant, Group: "Gent/r1", Enrolled: now, Expires: now}),
		tx.SetDirection(store.Direction{Device: device, Version: 1, Issued: now, Expires: now, Raw: name}),
		tx.AddUpdate(store.Update{ID: tenant + "-u", Device: device, Created: now}),
		addEvent(tx, device, 1),
		tx.AddRollout(store.Rollout{ID: rollout, Tenant: tenant, Created: now, Run: "running"}),
		tx.SetRolloutRows(rollout, []store.RolloutRow{{Device: device, State: "directed", Held: true}}),
		tx.AddRolloutEvent(rollout, []byte("{}"), now),
		say(tx, tenant, "a"),
		tx.AddAuditHead(store.AuditHead{Tenant: tenant, Day: "2026-09-01"}),
		tx.AddToken(store.Token{ID: tenant + "-t", Tenant: tenant, Hash: name, Created: now}),
		tx.SetRole(store.Role{Tenant: tenant, Name: "own"}),
		tx.AddGrant(store.Grant{Tenant: tenant, Grantee: "neighbour", Created: now}),
		tx.AddGrant(store.Grant{Tenant: "neighbour", Grantee: tenant, Created: now}),
		tx.AddExpected(store.Expected{Tenant: tenant, Serial: "x", Added: now}),
		tx.AddCode(store.Code{Hash: name, Tenant: tenant, Created: now, Expires: now}),
		tx.AddCustom(store.Custom{ID: tenant + "-x", Tenant: tenant, Hash: name, Created: now}),
		tx.SetPolicy(tenant, []byte("{}"), now), tx.SetSettings(tenant, store.DefaultSettings()),
	} {
		if err != nil {
			return err
		}
	}
	if _, err := tx.NoteClone(tenant, "s", name, now); err != nil {
		return err
	}
	_, err := tx.Lease(store.RolloutLease(rollout), "a", now, now)
	return err
}

func addEvent(tx *store.Tx, device string, seq int64) error {
	_, err := tx.AddEvent(device, "e", seq, []byte("{}"), now)
	return err
}

// TestPurgeTenant fills every table for two tenants and purges one. A table that is new
// fails here until it is filled above, and purged, or named as one of nobody's.
func TestPurgeTenant(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := open(t, where, store.Options{})
		ofNobody := []string{"meta", "schema_version"}
		counts := func() map[string]int {
			out := map[string]int{}
			for _, table := range store.Tables(t, where) {
				if !slices.Contains(ofNobody, table) {
					out[table] = store.Count(t, where, table)
				}
			}
			return out
		}
		update(t, s, func(tx *store.Tx) error { return fill(tx, "bravo") })
		one := counts()
		update(t, s, func(tx *store.Tx) error { return fill(tx, "acme") })
		for table, n := range counts() {
			if n <= one[table] {
				t.Errorf("table %s has no row of tenant acme: fill has to make one", table)
			}
		}
		if err := s.PurgeTenant(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if left := counts(); fmt.Sprint(left) != fmt.Sprint(one) {
			t.Errorf("rows after the purge: %v\nbefore the tenant came: %v", left, one)
		}
		if err := s.PurgeTenant(t.Context(), "acme"); err == nil {
			t.Error("purged a tenant that is not there")
		}
	})
}

func TestPruneDeviceData(t *testing.T) { fresh(t, testPrune) }

func testPrune(t *testing.T, s *store.Store) {
	late := now.Add(time.Hour)
	update(t, s, func(tx *store.Tx) error {
		for _, d := range []store.Device{{ID: "d2", Tenant: "acme"}, {ID: "o1", Tenant: "other"}} {
			d.Key, d.Enrolled, d.Expires = []byte(d.ID), now, now
			if err := tx.AddTenant(d.Tenant, now); err != nil {
				return err
			}
			if err := tx.AddDevice(d); err != nil {
				return err
			}
		}
		for i, u := range []store.Update{{Device: "d1", Created: now}, {Device: "d1", Created: late}, {Device: "d2", Created: now}, {Device: "o1", Created: now}, {Device: "o1", Created: now}} {
			u.ID = fmt.Sprint("u", i)
			if err := tx.AddUpdate(u); err != nil {
				return err
			}
		}
		for seq, at := range []time.Time{now, now, late} {
			for _, id := range []string{"d1", "o1"} {
				if _, err := tx.AddEvent(id, "e", int64(seq+1), []byte("{}"), at); err != nil {
					return err
				}
			}
		}
		return nil
	})
	n, err := s.PruneDeviceData(t.Context(), "acme", late)
	if n != 3 || err != nil { // two events and u0: u2 is the newest of its device
		t.Errorf("%d rows, %v; want 3", n, err)
	}
	view(t, s, func(tx *store.Tx) error {
		for id, want := range map[string]int{"d1": 1, "o1": 3} {
			events, err := tx.Events(id, 10)
			if err != nil || len(events) != want {
				t.Errorf("%s: %d events, %v", id, len(events), err)
			}
		}
		all, err := tx.Updates(store.UpdateQuery{})
		if len(all) != 4 {
			t.Errorf("%d updates, want 4", len(all))
		}
		return err
	})
}

func TestPruneRollouts(t *testing.T) { fresh(t, testPruneRollouts) }

func testPruneRollouts(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		if err := addRollouts(tx, "r1", "r2", "r3"); err != nil {
			return err
		}
		for id, end := range map[string]time.Time{"r1": now, "r2": now.Add(time.Hour)} {
			if err := tx.SetRollout(store.Rollout{ID: id, Finished: end}); err != nil {
				return err
			}
			if err := tx.SetRolloutRows(id, []store.RolloutRow{{Device: "d1"}}); err != nil {
				return err
			}
			if err := tx.AddRolloutEvent(id, []byte("{}"), now); err != nil {
				return err
			}
		}
		return tx.PruneRollouts("acme", now.Add(time.Hour))
	})
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Rollouts(store.RolloutQuery{})
		if len(all) != 2 || all[0].ID != "r3" || all[1].ID != "r2" {
			t.Errorf("left %+v", all)
		}
		return err
	})
}
