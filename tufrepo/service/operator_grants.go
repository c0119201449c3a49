package service

import (
	"errors"
	"net/http"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) getGrants(w http.ResponseWriter, r *http.Request, c *call) error {
	out := api.Grants{Given: []api.Grant{}, Received: []api.Grant{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		given, err := tx.Grants(c.Tenant)
		if err != nil {
			return err
		}
		received, err := tx.GrantsTo(c.Tenant)
		for _, g := range given {
			out.Given = append(out.Given, grantOut(g))
		}
		for _, g := range received {
			out.Received = append(out.Received, grantOut(g))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func grantOut(g store.Grant) api.Grant {
	return api.Grant{Tenant: g.Tenant, To: g.Grantee, Role: g.Role, Created: g.Created, Expires: maybe(g.Expires), Ended: maybe(g.Ended)}
}

func (s *Service) postGrant(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewGrant
	if err := read(w, r, &in); err != nil {
		return err
	}
	expires, err := endOf(c.now, in.Seconds)
	if err != nil {
		return err
	}
	row := store.Grant{Tenant: c.Tenant, Grantee: in.To, Role: in.Role, Created: c.now, Expires: expires}
	c.Tell(object("grant", in.To), in)
	err = auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		g, err := grantOf(tx, row)
		if err != nil {
			return err
		}
		if err := decided(access.CanGrant(c.principal, g, c.now)); err != nil {
			return err
		}
		if there(tx, in.To) != nil {
			return &director.Error{Code: wire.CodeNotFound, Message: "the organisation to let in is not a tenant here"}
		}
		if err := endOver(tx, row, c); err != nil {
			return err
		}
		return tx.AddGrant(row)
	})
	if err != nil {
		return err
	}
	return ok(w, grantOut(row))
}

// endOver ends a grant whose time is over, so that the same one can be given again.
func endOver(tx *store.Tx, row store.Grant, c *call) error {
	old, err := openGrant(tx, row.Tenant, row.Grantee, row.Role)
	if errors.Is(err, store.ErrNotFound) || err == nil && (old.Expires.IsZero() || c.now.Before(old.Expires)) {
		return nil // AddGrant says what there is to say
	}
	if err != nil {
		return err
	}
	return tx.EndGrant(row.Tenant, row.Grantee, row.Role, c.now)
}

func openGrant(tx *store.Tx, tenant, to, role string) (store.Grant, error) {
	all, err := tx.GrantsTo(to)
	for _, g := range all {
		if g.Tenant == tenant && g.Role == role {
			return g, nil
		}
	}
	if err == nil {
		err = store.ErrNotFound
	}
	return store.Grant{}, err
}

// postGrantEnd is open to both sides; the entry stands in the log of the tenant that has let in.
func (s *Service) postGrantEnd(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.EndGrant
	if err := read(w, r, &in); err != nil {
		return err
	}
	c.Tell(object("grant", in.To), in)
	if err := s.enterGrant(r, c, in); err != nil {
		return err
	}
	err := auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error { return tx.EndGrant(in.Tenant, in.To, in.Role, c.now) })
	if err != nil {
		return err
	}
	return ok(w, api.Done{})
}

func (s *Service) enterGrant(r *http.Request, c *call, in api.EndGrant) error {
	if in.Tenant == "" || in.To == "" {
		return badRequest("say who has let in whom")
	}
	first := c.in(in.Tenant)
	if first == nil {
		return nil
	}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		row, err := openGrant(tx, in.Tenant, in.To, in.Role)
		if err != nil {
			return err
		}
		g, err := grantOf(tx, row)
		if err != nil {
			return err
		}
		return access.CanEndGrant(c.principal, g, c.now)
	})
	if err != nil {
		return first
	}
	c.Tenant, c.entered = in.Tenant, true
	return nil
}
