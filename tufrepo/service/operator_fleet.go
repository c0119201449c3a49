package service

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// limit reads ?limit, which is bounded.
func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || n < 1 {
		return 1000
	}
	return min(n, 10_000)
}

func (s *Service) getDevices(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	query := store.DeviceQuery{Tenant: q.Get("tenant"), After: q.Get("after"), Limit: limit(r), Revoked: q.Get("revoked") != ""}
	out := api.Devices{Devices: []api.Device{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Devices(query)
		for _, d := range all {
			one, err := deviceOut(tx, d)
			if err != nil {
				return err
			}
			one.Reported = nil // in a list it is too much
			out.Devices = append(out.Devices, one)
		}
		if len(all) == query.Limit {
			out.Next = all[len(all)-1].ID
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func (s *Service) getDevice(w http.ResponseWriter, r *http.Request) error {
	var out api.Device
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		d, err := tx.Device(r.PathValue("id"))
		if err != nil {
			return err
		}
		out, err = deviceOut(tx, d)
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func deviceOut(tx *store.Tx, d store.Device) (api.Device, error) {
	dir, err := tx.Direction(d.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return api.Device{}, err
	}
	out := api.Device{ID: d.ID, Tenant: d.Tenant, Product: d.Product, Hardware: d.Hardware, Serial: d.Serial, MAC: d.MAC,
		Agent: d.Agent, Version: d.Version, Counter: d.Counter, State: d.State, Online: d.Online, Direction: dir.Version,
		Accepted: d.Accepted, Seen: maybe(d.Seen), Enrolled: d.Enrolled, Expires: d.Expires, Revoked: maybe(d.Revoked),
		ReportedAt: maybe(d.ReportedAt)}
	if len(d.Reported) > 0 {
		out.Reported = json.RawMessage(d.Reported)
	}
	return out, nil
}

func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Service) postRevoke(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.director.Revoke(r.Context(), id); err != nil {
		return err
	}
	if s.broker != nil {
		s.broker.Kick(id)
	}
	return s.getDevice(w, r)
}

func (s *Service) postDirections(w http.ResponseWriter, r *http.Request) error {
	var in api.Order
	if err := read(w, r, &in); err != nil {
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

func (s *Service) getUpdates(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	query := store.UpdateQuery{Tenant: q.Get("tenant"), Device: q.Get("device"), Latest: q.Get("latest") != "", Limit: limit(r)}
	out := api.Updates{Updates: []api.Update{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Updates(query)
		for _, u := range all {
			out.Updates = append(out.Updates, s.updateOut(u))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func (s *Service) updateOut(u store.Update) api.Update {
	out := api.Update{ID: u.ID, Tenant: u.Tenant, Device: u.Device, Serial: u.Serial, Product: u.Product, From: u.Previous, To: u.Version,
		State: u.State, Reason: u.Reason, Detail: u.Detail, Fetched: u.Fetched, Written: u.Written, Millis: u.Millis,
		Created: u.Created, Changed: u.Changed}
	if p := s.director.Progress(u.Device); p != nil && p.Update == u.ID && !wire.State(u.State).Final() {
		out.Done, out.Total = p.Done, p.Total
	}
	return out
}
