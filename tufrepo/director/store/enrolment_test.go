package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// expect runs fn in an update and wants an error, or nil.
func expect(t *testing.T, s *store.Store, what string, want error, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestExpected(t *testing.T) { fresh(t, testExpected) }

func testExpected(t *testing.T, s *store.Store) {
	add := func(serial, mac, product string) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return tx.AddExpected(store.Expected{Tenant: "acme", Serial: serial, MAC: mac, Product: product, Group: "Gent/r1", Added: now})
		}
	}
	expect(t, s, "first", nil, add("s1", "m1", "base"))
	expect(t, s, "without serial", nil, add("", "m2", "base"))
	expect(t, s, "the MAC of another", store.ErrConflict, add("s3", "m1", "base"))
	find := func(serial, mac string) (e store.Expected, err error) {
		return e, s.View(t.Context(), func(tx *store.Tx) error { e, err = tx.Expected("acme", serial, mac); return err })
	}
	e, err := find("s1", "m2") // the serial counts more
	if err != nil || e.MAC != "m1" || e.Group != "Gent/r1" || e.Device != "" || len(e.Key) != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	expect(t, s, "bind", nil, func(tx *store.Tx) error { return tx.BindExpected(e.N, "d1", []byte("k1")) })
	expect(t, s, "bind again", nil, func(tx *store.Tx) error { return tx.BindExpected(e.N, "d1", []byte("k1")) })
	expect(t, s, "another key", store.ErrConflict, func(tx *store.Tx) error { return tx.BindExpected(e.N, "d1", []byte("k2")) })
	expect(t, s, "imported again", nil, add("s1", "m9", "gateway"))
	if e, err = find("", "m9"); err != nil || e.Product != "gateway" || e.Device != "d1" || string(e.Key) != "k1" {
		t.Errorf("renewed: %+v, %v", e, err)
	}
	expect(t, s, "free", nil, func(tx *store.Tx) error { return tx.FreeExpected("acme", e.N) })
	expect(t, s, "another key", nil, func(tx *store.Tx) error { return tx.BindExpected(e.N, "d2", []byte("k2")) })
	expect(t, s, "remove", nil, func(tx *store.Tx) error { return tx.RemoveExpected("acme", e.N) })
	expect(t, s, "of another tenant", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveExpected("other", e.N+1) })
	if _, err := find("", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("empty names find something: %v", err)
	}
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.ExpectedList("acme", 0, 10)
		if len(all) != 1 || all[0].MAC != "m2" {
			t.Errorf("left %+v", all)
		}
		return err
	})
}

func TestClones(t *testing.T) { fresh(t, testClones) }

func testClones(t *testing.T, s *store.Store) {
	for i, want := range []int64{1, 2} {
		update(t, s, func(tx *store.Tx) error {
			c, err := tx.NoteClone("acme", "s1", []byte("k"), now.Add(time.Duration(i)*time.Hour))
			if c.Count != want || !c.First.Equal(now) || !c.Last.Equal(now.Add(time.Duration(i)*time.Hour)) {
				t.Errorf("%+v", c)
			}
			return err
		})
	}
	update(t, s, func(tx *store.Tx) error {
		if all, err := tx.Clones("acme"); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		return tx.DropClone("acme", "s1", []byte("k"))
	})
}

func TestCodes(t *testing.T) { fresh(t, testCodes) }

func testCodes(t *testing.T, s *store.Store) {
	hour := now.Add(time.Hour)
	use := func(hash, device string, at time.Time) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			c, err := tx.UseCode([]byte(hash), device, at)
			if err == nil && (c.Tenant != "acme" || c.Group != "Gent" || c.Device != device || !c.Used.Equal(now)) {
				t.Errorf("%+v", c)
			}
			return err
		}
	}
	update(t, s, func(tx *store.Tx) error {
		return tx.AddCode(store.Code{Hash: []byte("h"), Tenant: "acme", Group: "Gent", Created: now, Expires: hour})
	})
	expect(t, s, "wrong", store.ErrNotFound, use("x", "d1", now))
	expect(t, s, "late", store.ErrNotFound, use("h", "d1", hour))
	expect(t, s, "first", nil, use("h", "d1", now))
	expect(t, s, "the answer was lost", nil, use("h", "d1", now.Add(time.Minute)))
	expect(t, s, "second device", store.ErrNotFound, use("h", "d2", now))
	expect(t, s, "prune", nil, func(tx *store.Tx) error { return tx.PruneCodes("acme", hour.Add(time.Second)) })
	view(t, s, func(tx *store.Tx) error {
		all, err := tx.Codes("acme")
		if len(all) != 0 {
			t.Errorf("%+v", all)
		}
		return err
	})
}

func TestCustoms(t *testing.T) { fresh(t, testCustoms) }

func testCustoms(t *testing.T, s *store.Store) {
	add := func(tx *store.Tx) error {
		return tx.AddCustom(store.Custom{ID: "c1", Tenant: "acme", Hash: []byte("h"), Name: "n", Product: "p", Hardware: "w", Group: "Gent", Created: now})
	}
	expect(t, s, "first", nil, add)
	expect(t, s, "second", store.ErrConflict, add)
	expect(t, s, "bind", nil, func(tx *store.Tx) error { return tx.BindCustom("c1", "d1") })
	view(t, s, func(tx *store.Tx) error {
		c, err := tx.Custom("c1")
		if string(c.Hash) != "h" || c.Device != "d1" || c.Group != "Gent" || !c.Revoked.IsZero() {
			t.Errorf("%+v", c)
		}
		all, err2 := tx.Customs("acme", "c0", 10)
		if len(all) != 1 {
			t.Errorf("%+v", all)
		}
		return errors.Join(err, err2)
	})
	expect(t, s, "revoke", nil, func(tx *store.Tx) error { return tx.RevokeCustom("c1", now) })
	expect(t, s, "revoked", store.ErrNotFound, func(tx *store.Tx) error { return tx.BindCustom("c1", "d2") })
}

func TestSettings(t *testing.T) { fresh(t, testSettings) }

func testSettings(t *testing.T, s *store.Store) {
	set := store.Settings{DeviceDays: 1, AuditDays: 2, RollBack: true}
	for i, want := range []store.Settings{{DeviceDays: 90, AuditDays: 365}, set, set} {
		update(t, s, func(tx *store.Tx) error {
			if got, err := tx.Settings("acme"); got != want || err != nil {
				t.Errorf("%d: %+v, %v", i, got, err)
			}
			return tx.SetSettings("acme", set)
		})
	}
	expect(t, s, "no policy", store.ErrNotFound, func(tx *store.Tx) error { _, _, err := tx.Policy("acme"); return err })
	for _, body := range []string{`{"a":1}`, `{"a":2}`} {
		update(t, s, func(tx *store.Tx) error {
			if err := tx.SetPolicy("acme", []byte(body), now); err != nil {
				return err
			}
			got, at, err := tx.Policy("acme")
			if string(got) != body || !at.Equal(now) {
				t.Errorf("%s at %v", got, at)
			}
			return err
		})
	}
}

func TestAccess(t *testing.T) { fresh(t, testAccess) }

func testAccess(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		for _, err := range []error{tx.AddTenant("msp", now),
			tx.AddToken(store.Token{ID: "t1", Tenant: "acme", Name: "n", Role: "viewer", Hash: []byte("h"), Created: now}),
			tx.AddToken(store.Token{ID: "t2", Name: "service", Role: "admin", Hash: []byte("h"), Created: now, Expires: now.Add(time.Hour)}),
			tx.SetRole(store.Role{Tenant: "acme", Name: "own", Permissions: []byte(`["a"]`)}),
			tx.SetRole(store.Role{Tenant: "acme", Name: "own", Permissions: []byte(`["b"]`)})} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	expect(t, s, "same id", store.ErrConflict, func(tx *store.Tx) error { return tx.AddToken(store.Token{ID: "t1", Hash: []byte("x"), Created: now}) })
	expect(t, s, "use", nil, func(tx *store.Tx) error { return tx.UseToken("t1", now) })
	expect(t, s, "use again", nil, func(tx *store.Tx) error { return tx.UseToken("t1", now.Add(30*time.Second)) })
	expect(t, s, "revoke", nil, func(tx *store.Tx) error { return tx.RevokeToken("t1", now) })
	expect(t, s, "twice", store.ErrNotFound, func(tx *store.Tx) error { return tx.RevokeToken("t1", now) })
	grant := func(tx *store.Tx) error {
		return tx.AddGrant(store.Grant{Tenant: "acme", Grantee: "msp", Role: "operator", Created: now})
	}
	expect(t, s, "grant", nil, grant)
	expect(t, s, "the same", store.ErrConflict, grant)
	expect(t, s, "end", nil, func(tx *store.Tx) error { return tx.EndGrant("acme", "msp", "operator", now) })
	expect(t, s, "end twice", store.ErrNotFound, func(tx *store.Tx) error { return tx.EndGrant("acme", "msp", "operator", now) })
	expect(t, s, "again", nil, grant)
	view(t, s, func(tx *store.Tx) error {
		k, err := tx.Token("t1")
		if !k.Used.Equal(now) || !k.Revoked.Equal(now) || !k.Expires.IsZero() || string(k.Hash) != "h" {
			t.Errorf("%+v", k)
		}
		service, err2 := tx.Tokens("")
		if len(service) != 1 || service[0].ID != "t2" || !service[0].Expires.Equal(now.Add(time.Hour)) {
			t.Errorf("%+v", service)
		}
		r, err3 := tx.Role("acme", "own")
		if string(r.Permissions) != `["b"]` {
			t.Errorf("%+v", r)
		}
		given, err4 := tx.Grants("acme")
		got, err5 := tx.GrantsTo("msp")
		if len(given) != 2 || !given[0].Ended.IsZero() || len(got) != 1 || got[0].Tenant != "acme" {
			t.Errorf("given %+v, got %+v", given, got)
		}
		return errors.Join(err, err2, err3, err4, err5)
	})
	update(t, s, func(tx *store.Tx) error { return tx.RemoveRole("acme", "own") })
	expect(t, s, "role", store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Role("acme", "own"); return err })
}
