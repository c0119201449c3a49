package service

import (
	"crypto/subtle"
	"math"
	"net/http"
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
