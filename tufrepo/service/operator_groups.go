package service

import (
	"net/http"

	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) groupRoutes() []operatorRoute {
	const t = "/api/v1/tenants/{tenant}/groups"
	return []operatorRoute{
		{pattern: "GET " + t, permission: access.DeviceRead, handle: s.getGroups,
			about: "the tree of a tenant's groups, by path", out: api.Groups{}},
		{pattern: "POST " + t, permission: access.GroupWrite, action: audit.GroupAdd, handle: s.groupOrder(func(r *http.Request, tenant string, o api.GroupOrder) error {
			return s.director.AddGroup(r.Context(), tenant, o.Path)
		}), about: "make a group, and those above it", in: api.GroupOrder{}, out: api.Groups{}},
		{pattern: "POST " + t + "/move", permission: access.GroupWrite, action: audit.GroupEdit, handle: s.groupOrder(func(r *http.Request, tenant string, o api.GroupOrder) error {
			return s.director.MoveGroup(r.Context(), tenant, o.Path, o.To)
		}), about: "move a group with all that is below it", in: api.GroupOrder{}, out: api.Groups{}},
		{pattern: "POST " + t + "/remove", permission: access.GroupWrite, action: audit.GroupRemove, handle: s.groupOrder(func(r *http.Request, tenant string, o api.GroupOrder) error {
			return s.director.RemoveGroup(r.Context(), tenant, o.Path)
		}), about: "remove an empty group", in: api.GroupOrder{}, out: api.Groups{}},
		{pattern: "POST " + t + "/assign", permission: access.GroupWrite, action: audit.GroupAssign, handle: s.groupOrder(func(r *http.Request, tenant string, o api.GroupOrder) error {
			return s.director.AssignGroup(r.Context(), tenant, o.Path, o.Devices)
		}), about: "put devices into a group, or with an empty path into none", in: api.GroupOrder{}, out: api.Groups{}},
		{pattern: "PATCH /api/v1/devices/{id}", permission: access.DeviceWrite, action: audit.DeviceEdit, asks: true, handle: s.patchDevice,
			about: "change what people note of a device", in: api.DeviceEdit{}, out: api.Device{}},
		{pattern: "POST /api/v1/devices/{id}/cloud", permission: access.DeviceWrite, action: audit.DeviceCloud, asks: true, handle: s.postCloud,
			about: "switch a device's cloud connection off, or take that back", in: api.CloudOrder{}, out: api.Device{}},
	}
}

func (s *Service) getGroups(w http.ResponseWriter, r *http.Request, _ *call) error {
	all, err := s.director.Groups(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	out := api.Groups{Groups: []api.Group{}}
	for _, g := range all {
		out.Groups = append(out.Groups, api.Group(g))
	}
	return ok(w, out)
}

// groupOrder answers an order with the tree as it is then.
func (s *Service) groupOrder(do func(r *http.Request, tenant string, o api.GroupOrder) error) func(http.ResponseWriter, *http.Request, *call) error {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		var in api.GroupOrder
		if err := read(w, r, &in); err != nil {
			return err
		}
		c.Tell(object("group", in.Path), in)
		if err := do(r, r.PathValue("tenant"), in); err != nil {
			return err
		}
		return s.getGroups(w, r, c)
	}
}

func (s *Service) patchDevice(w http.ResponseWriter, r *http.Request, c *call) error {
	d, err := s.device(r, c)
	if err != nil {
		return err
	}
	var in api.DeviceEdit
	if err := read(w, r, &in); err != nil {
		return err
	}
	c.Tell(object("device", d.ID), in)
	if err := s.director.EditDevice(r.Context(), d.Tenant, d.ID, in.Zone, in.Attributes); err != nil {
		return err
	}
	return s.showDevice(w, r)
}

func (s *Service) postCloud(w http.ResponseWriter, r *http.Request, c *call) error {
	d, err := s.device(r, c)
	if err != nil {
		return err
	}
	var in api.CloudOrder
	if err := read(w, r, &in); err != nil {
		return err
	}
	c.Tell(object("device", d.ID), in)
	if err := s.director.Cloud(r.Context(), d.Tenant, d.ID, in.Off); err != nil {
		return err
	}
	return s.showDevice(w, r)
}
