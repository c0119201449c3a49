package service

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) fleetRoutes() []operatorRoute {
	return []operatorRoute{
		{pattern: "GET /api/v1/devices", permission: access.DeviceRead, asks: true, handle: s.getDevices,
			about: "list devices by id", query: []string{"tenant", "after", "limit", "revoked", "group", "product", "version", "state", "text"}, out: api.Devices{}},
		{pattern: "GET /api/v1/devices/{id}", permission: access.DeviceRead, asks: true, handle: s.getDevice,
			about: "one device, and what it said last", out: api.Device{}},
		{pattern: "POST /api/v1/devices/{id}/revoke", permission: access.DeviceRevoke, action: audit.DeviceRevoke, asks: true, handle: s.postRevoke,
			about: "withdraw a device's identity, at once and for good", out: api.Device{}},
		{pattern: "POST /api/v1/devices/{id}/command", permission: access.DirectWrite, action: audit.DeviceCommand, asks: true, handle: s.postCommand,
			about: "ask a connected device for something now, and wait a moment for its answer", in: api.Command{}, out: api.Commanded{}},
		{pattern: "POST /api/v1/directions", permission: access.DirectWrite, action: audit.DirectSend, asks: true, handle: s.postDirections,
			about: "direct a release, or nothing, to devices", in: api.Order{}, out: api.Outcomes{}},
	}
}

// limit reads ?limit, which is bounded.
func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || n < 1 {
		return 1000
	}
	return min(n, 10_000)
}

func (s *Service) getDevices(w http.ResponseWriter, r *http.Request, c *call) error {
	q := r.URL.Query()
	all, tenants, err := c.where(q.Get("tenant"))
	if err != nil {
		return err
	}
	if all {
		tenants = []string{""}
	}
	query := store.DeviceQuery{After: q.Get("after"), Limit: limit(r), Revoked: q.Get("revoked") != "",
		Group: q.Get("group"), Product: q.Get("product"), Version: q.Get("version"), State: q.Get("state"), Text: q.Get("text")}
	out := api.Devices{Devices: []api.Device{}}
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		page, err := devicesOf(tx, query, tenants)
		if err != nil {
			return err
		}
		versions, err := tx.DirectionVersions(idsOf(page))
		for _, d := range page {
			one := deviceOut(d, versions[d.ID])
			one.Reported = nil // in a list it is too much
			out.Devices = append(out.Devices, one)
		}
		if len(page) == query.Limit {
			out.Next = page[len(page)-1].ID
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

// devicesOf is a page of the devices of several tenants, by id.
func devicesOf(tx *store.Tx, q store.DeviceQuery, tenants []string) (page []store.Device, err error) {
	for _, q.Tenant = range tenants {
		some, err := tx.Devices(q)
		if err != nil {
			return nil, err
		}
		page = append(page, some...)
	}
	slices.SortFunc(page, func(a, b store.Device) int { return cmp.Compare(a.ID, b.ID) })
	return page[:min(len(page), q.Limit)], nil
}

// device finds a device and enters its tenant: who may not be there learns nothing of it.
func (s *Service) device(r *http.Request, c *call) (d store.Device, err error) {
	c.Tell(object("device", r.PathValue("id")), nil)
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		d, err = tx.Device(r.PathValue("id"))
		return err
	})
	if err != nil {
		return d, err
	}
	return d, c.in(d.Tenant)
}

func (s *Service) getDevice(w http.ResponseWriter, r *http.Request, c *call) error {
	if _, err := s.device(r, c); err != nil {
		return err
	}
	return s.showDevice(w, r)
}

func (s *Service) showDevice(w http.ResponseWriter, r *http.Request) error {
	var out api.Device
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		d, err := tx.Device(r.PathValue("id"))
		if err != nil {
			return err
		}
		versions, err := tx.DirectionVersions([]string{d.ID})
		out = deviceOut(d, versions[d.ID])
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func idsOf(devices []store.Device) []string {
	out := make([]string, len(devices))
	for i, d := range devices {
		out[i] = d.ID
	}
	return out
}

// deviceOut is a device whose newest direction has this version.
func deviceOut(d store.Device, direction int64) api.Device {
	out := api.Device{ID: d.ID, Tenant: d.Tenant, Product: d.Product, Hardware: d.Hardware, Serial: d.Serial, MAC: d.MAC,
		Agent: d.Agent, Version: d.Version, Counter: d.Counter, State: d.State, Online: d.Online, Direction: direction,
		Accepted: d.Accepted, Seen: maybe(d.Seen), Enrolled: d.Enrolled, Expires: d.Expires, Revoked: maybe(d.Revoked),
		ReportedAt: maybe(d.ReportedAt), Group: d.Group, Zone: d.Zone, Attributes: d.Attributes, CloudOff: d.CloudOff}
	if len(d.Reported) > 0 {
		out.Reported = json.RawMessage(d.Reported)
	}
	return out
}

func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Service) postRevoke(w http.ResponseWriter, r *http.Request, c *call) error {
	d, err := s.device(r, c)
	if err != nil {
		return err
	}
	c.Tell("device/"+d.ID, map[string]string{"serial": d.Serial})
	if err := s.director.Revoke(r.Context(), d.ID); err != nil {
		return err
	}
	if s.broker != nil {
		s.broker.Kick(d.ID)
	}
	return s.showDevice(w, r)
}

func (s *Service) postDirections(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.Order
	if err := readIn(w, r, c, &in, func() string { return in.Tenant }); err != nil {
		return err
	}
	c.Tell("tenant/"+in.Tenant, in)
	// Each device has a transaction of its own: the entry comes first.
	if err := auditlog.Update(r.Context(), s.store, func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	all, err := s.director.Direct(r.Context(), director.Order(in))
	if err != nil {
		return err
	}
	out := api.Outcomes{Outcomes: []api.Outcome{}}
	for _, o := range all {
		out.Outcomes = append(out.Outcomes, api.Outcome(o))
	}
	return ok(w, out)
}
