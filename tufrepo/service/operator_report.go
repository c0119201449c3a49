package service

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// reportDays is how far back a report looks if nobody says.
const reportDays = 30

func (s *Service) reportRoutes() []operatorRoute {
	return []operatorRoute{
		{pattern: "GET /api/v1/updates", permission: access.ReportRead, asks: true, handle: s.getUpdates,
			about: "list updates, the newest first", query: []string{"tenant", "device", "latest", "limit"}, out: api.Updates{}},
		{pattern: "GET /api/v1/report", permission: access.ReportRead, asks: true, handle: s.getReport,
			about: "sum up the updates to each release, and what became of them", query: []string{"tenant", "since"}, out: api.Report{}},
		{pattern: "GET /api/v1/devices/{id}/events", permission: access.ReportRead, asks: true, handle: s.getEvents,
			about: "what a device said of its updates, the oldest first", query: []string{"limit"}, out: api.Events{}},
	}
}

func (s *Service) getUpdates(w http.ResponseWriter, r *http.Request, c *call) error {
	q := r.URL.Query()
	all, tenants, err := c.where(q.Get("tenant"))
	if err != nil {
		return err
	}
	if all {
		tenants = []string{""}
	}
	query := store.UpdateQuery{Device: q.Get("device"), Latest: q.Get("latest") != "", Limit: limit(r)}
	out := api.Updates{Updates: []api.Update{}}
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		for _, query.Tenant = range tenants {
			some, err := tx.Updates(query)
			if err != nil {
				return err
			}
			for _, u := range some {
				out.Updates = append(out.Updates, s.updateOut(u))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(tenants) > 1 {
		slices.SortStableFunc(out.Updates, func(a, b api.Update) int { return b.Created.Compare(a.Created) })
	}
	out.Updates = out.Updates[:min(len(out.Updates), query.Limit)]
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

func (s *Service) getReport(w http.ResponseWriter, r *http.Request, c *call) error {
	q := r.URL.Query()
	all, tenants, err := c.where(q.Get("tenant"))
	if err != nil {
		return err
	}
	if all {
		tenants = []string{""}
	}
	out := api.Report{Since: c.now.AddDate(0, 0, -reportDays), Until: c.now, Releases: []api.ReleaseReport{}}
	if text := q.Get("since"); text != "" {
		if out.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return badRequest("since is a time like 2026-09-01T00:00:00Z: " + err.Error())
		}
	}
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		for _, tenant := range tenants {
			some, err := reportOf(tx, tenant, out.Since)
			if err != nil {
				return err
			}
			out.Releases = append(out.Releases, some...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

// reportOf sums up the updates of a tenant by release.
func reportOf(tx *store.Tx, tenant string, since time.Time) (out []api.ReleaseReport, err error) {
	tallies, err := tx.TallyUpdates(tenant, since)
	if err != nil {
		return nil, err
	}
	for _, of := range byRelease(tallies) {
		one := api.ReleaseReport{Tenant: tenant, Product: of[0].Product, Version: of[0].Version}
		for _, y := range of {
			one.Updates += y.Updates
			one.Fetched += y.Fetched
			one.Written += y.Written
			one.Outcomes = append(one.Outcomes, api.Outcomed{State: y.State, Reason: y.Reason, Updates: y.Updates})
			switch state := wire.State(y.State); {
			case state == wire.Committed:
				one.Committed += y.Updates
			case state.Final():
				one.Unsuccessful += y.Updates
			}
		}
		if one.Committed > 0 {
			if err := timesOf(tx, since, &one); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// byRelease cuts tallies, which are sorted, where the release changes.
func byRelease(all []store.Tally) (cut [][]store.Tally) {
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(y store.Tally) bool { return y.Product != all[0].Product || y.Version != all[0].Version })
		if n < 0 {
			n = len(all)
		}
		cut, all = append(cut, all[:n]), all[n:]
	}
	return cut
}

func timesOf(tx *store.Tx, since time.Time, one *api.ReleaseReport) (err error) {
	of := store.Tally{Product: one.Product, Version: one.Version, State: string(wire.Committed)}
	if one.MedianMillis, err = tx.UpdateMillis(one.Tenant, since, of, (one.Committed-1)/2); err != nil {
		return err
	}
	one.P95Millis, err = tx.UpdateMillis(one.Tenant, since, of, (one.Committed*19-1)/20)
	return err
}

func (s *Service) getEvents(w http.ResponseWriter, r *http.Request, c *call) error {
	d, err := s.device(r, c)
	if err != nil {
		return err
	}
	out := api.Events{Events: []json.RawMessage{}}
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		bodies, err := tx.Events(d.ID, limit(r))
		for _, b := range bodies {
			out.Events = append(out.Events, b)
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}
