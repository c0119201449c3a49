package service

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) getRoles(w http.ResponseWriter, r *http.Request, c *call) error {
	var out api.Roles
	for _, one := range access.BuiltIn() {
		out.Roles = append(out.Roles, roleOut("", one.Name, one.Permissions, true))
	}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		all, err := tx.Roles(c.Tenant)
		for _, one := range all {
			can, err := permissionsOf(tx, one.Tenant, one.Name)
			if err != nil {
				return err
			}
			out.Roles = append(out.Roles, roleOut(one.Tenant, one.Name, can, false))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func roleOut(tenant, name string, can access.Set, builtIn bool) api.Role {
	out := api.Role{Name: name, Tenant: tenant, BuiltIn: builtIn, Permissions: []string{}}
	for _, p := range can.List() {
		out.Permissions = append(out.Permissions, string(p))
	}
	return out
}

func (s *Service) putRole(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewRole
	if err := read(w, r, &in); err != nil {
		return err
	}
	var names []access.Permission
	for _, p := range in.Permissions {
		names = append(names, access.Permission(p))
	}
	can, err := access.NewSet(names...)
	if err != nil {
		return badRequest(err.Error())
	}
	will := access.Role{Name: r.PathValue("role"), Scope: scopeOf(c.Tenant), Permissions: can}
	c.Tell(object("role", will.Name), in)
	text, err := json.Marshal(can)
	if err != nil {
		return err
	}
	err = auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error {
		c.Action = audit.RoleAdd
		if err := decided(access.CanDefine(c.principal, will, c.now)); err != nil {
			return err
		}
		switch err := s.holdsRole(tx, c, will.Name); {
		case err == nil:
			c.Action = audit.RoleEdit
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		return tx.SetRole(store.Role{Tenant: c.Tenant, Name: will.Name, Permissions: text})
	})
	if err != nil {
		return err
	}
	return ok(w, roleOut(c.Tenant, will.Name, can, false))
}

// holdsRole asks whether the caller has all that a custom role gives now: else who has little
// could take from those who have more.
func (s *Service) holdsRole(tx *store.Tx, c *call, name string) error {
	if _, err := tx.Role(c.Tenant, name); err != nil {
		return err
	}
	can, err := permissionsOf(tx, c.Tenant, name)
	if err != nil {
		return err
	}
	return decided(access.CanDefine(c.principal, access.Role{Name: name, Scope: scopeOf(c.Tenant), Permissions: can}, c.now))
}

func (s *Service) deleteRole(w http.ResponseWriter, r *http.Request, c *call) error {
	name := r.PathValue("role")
	c.Tell(object("role", name), nil)
	err := auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error {
		if err := s.holdsRole(tx, c, name); err != nil {
			return err
		}
		return tx.RemoveRole(c.Tenant, name)
	})
	if err != nil {
		return err
	}
	return ok(w, api.Done{})
}
