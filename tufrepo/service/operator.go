package service

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) operatorRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	for pattern, h := range s.operatorTable() {
		mux.HandleFunc(pattern, s.guarded(pattern, s.forOperator(h)))
	}
	mux.HandleFunc("/", s.guarded("/", s.forOperator(func(http.ResponseWriter, *http.Request) error { return store.ErrNotFound })))
	return mux
}

func (s *Service) operatorTable() map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /api/v1/tenants/{name}/key":  s.postKey,
		"POST /api/v1/tenants":             s.postTenant,
		"GET /api/v1/tenants":              s.getTenants,
		"POST /api/v1/claim-tokens":        s.postClaim,
		"GET /api/v1/claim-tokens":         s.getClaims,
		"GET /api/v1/devices":              s.getDevices,
		"GET /api/v1/devices/{id}":         s.getDevice,
		"POST /api/v1/devices/{id}/revoke": s.postRevoke,
		"POST /api/v1/directions":          s.postDirections,
		"GET /api/v1/updates":              s.getUpdates,
	}
}

// forOperator lets in whoever has the token.
func (s *Service) forOperator(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	want := []byte("Bearer " + s.token)
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, wire.CodeUnauthorized, "the operator's token is needed: it is in state/service/"+TokenFile+" of the repository")
			return
		}
		if err := h(w, r); err != nil {
			s.failWith(w, r, err)
		}
	}
}

// read decodes a request; unknown members are mistakes of the caller.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := body(w, r, api.MaxBody)
	if err != nil {
		return err
	}
	if err := strictjson.Decode(b, strictjson.Options{MaxBytes: api.MaxBody, Known: true}, v); err != nil {
		return &director.Error{Code: wire.CodeBadRequest, Message: err.Error()}
	}
	return nil
}

func ok(w http.ResponseWriter, v any) error {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, v)
	return nil
}

func (s *Service) postKey(w http.ResponseWriter, r *http.Request) error {
	var in api.NewKey
	if err := read(w, r, &in); err != nil {
		return err
	}
	key, err := s.director.MakeKey(r.Context(), r.PathValue("name"), in.Rotate)
	if err != nil {
		return err
	}
	return ok(w, api.Key(key))
}

func (s *Service) postTenant(w http.ResponseWriter, r *http.Request) error {
	var in api.NewTenant
	if err := read(w, r, &in); err != nil {
		return err
	}
	roots := make([][]byte, len(in.Roots))
	for i, root := range in.Roots {
		roots[i] = []byte(root)
	}
	t, err := s.director.AddTenant(r.Context(), in.Name, roots)
	if err != nil {
		return err
	}
	return ok(w, tenantOut(t))
}

func (s *Service) getTenants(w http.ResponseWriter, r *http.Request) error {
	out := api.Tenants{Tenants: []api.Tenant{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Tenants()
		for _, t := range all {
			out.Tenants = append(out.Tenants, tenantOut(t))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func tenantOut(t store.Tenant) api.Tenant {
	return api.Tenant{Name: t.Name, Root: t.Root, Devices: t.Devices, Created: t.Created}
}

func (s *Service) postClaim(w http.ResponseWriter, r *http.Request) error {
	var in api.NewClaim
	if err := read(w, r, &in); err != nil {
		return err
	}
	if in.Seconds > math.MaxInt64/int64(time.Second) {
		return &director.Error{Code: wire.CodeBadRequest, Message: "seconds is too large"}
	}
	token, c, err := s.director.NewClaim(r.Context(), in.Tenant, in.Uses, time.Duration(in.Seconds)*time.Second)
	if err != nil {
		return err
	}
	out := claimOut(c)
	out.Token = token
	return ok(w, out)
}

func (s *Service) getClaims(w http.ResponseWriter, r *http.Request) error {
	out := api.Claims{Claims: []api.Claim{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Claims()
		for _, c := range all {
			out.Claims = append(out.Claims, claimOut(c))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func claimOut(c store.Claim) api.Claim {
	return api.Claim{ID: c.ID, Tenant: c.Tenant, Uses: c.Uses, Expires: c.Expires, Created: c.Created}
}

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
