package service

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) operatorRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /api/v1/openapi.json", s.guarded("GET /api/v1/openapi.json", s.getDescription))
	for _, row := range s.operatorTable() {
		mux.HandleFunc(row.pattern, s.guarded(row.pattern, s.operate(row)))
	}
	nothing := operatorRoute{pattern: "/", asks: true, handle: func(http.ResponseWriter, *http.Request, *call) error { return store.ErrNotFound }}
	mux.HandleFunc("/", s.guarded("/", s.operate(nothing)))
	return mux
}

func (s *Service) tenantRoutes() []operatorRoute {
	return []operatorRoute{
		{pattern: "POST /api/v1/tenants/{tenant}/key", permission: access.TenantWrite, action: audit.TenantKey, handle: s.postKey,
			about: "make a tenant's online key, or a successor to it", in: api.NewKey{}, out: api.Key{}},
		{pattern: "POST /api/v1/tenants", permission: access.TenantWrite, action: audit.TenantRoot, asks: true, handle: s.postTenant,
			about: "make a tenant, which needs tenant.create too, or extend its root chain", in: api.NewTenant{}, out: api.Tenant{}},
		{pattern: "GET /api/v1/tenants", permission: access.TenantRead, asks: true, handle: s.getTenants,
			about: "list the tenants that the caller may see", out: api.Tenants{}},
		{pattern: "POST /api/v1/claim-tokens", permission: access.EnrollWrite, action: audit.ClaimAdd, asks: true, handle: s.postClaim,
			about: "make a claim token; it is in this answer and in no other", in: api.NewClaim{}, out: api.Claim{}},
		{pattern: "GET /api/v1/claim-tokens", permission: access.EnrollRead, asks: true, handle: s.getClaims,
			about: "list claim tokens, without what is secret", out: api.Claims{}},
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

// readIn is read for requests that name their tenant: it enters that.
func readIn(w http.ResponseWriter, r *http.Request, c *call, v any, tenant func() string) error {
	if err := read(w, r, v); err != nil {
		return err
	}
	if scopeOf(tenant()) == access.Service {
		return &director.Error{Code: wire.CodeBadRequest, Message: "say which tenant it is for"}
	}
	return c.in(tenant())
}

func ok(w http.ResponseWriter, v any) error {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, v)
	return nil
}

func (s *Service) postKey(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewKey
	if err := read(w, r, &in); err != nil {
		return err
	}
	c.Tell("tenant/"+c.Tenant, in)
	// The key is a file: the entry comes first.
	if err := auditlog.Update(r.Context(), s.store, func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	key, err := s.director.MakeKey(r.Context(), c.Tenant, in.Rotate)
	if err != nil {
		return err
	}
	return ok(w, api.Key(key))
}

// postTenant answers the same to who may not see a tenant, whether it exists or not.
func (s *Service) postTenant(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewTenant
	if err := read(w, r, &in); err != nil {
		return err
	}
	if err := wire.CheckID(in.Name); err != nil {
		return &director.Error{Code: wire.CodeBadRequest, Message: "tenant: " + err.Error()}
	}
	if err := c.in(in.Name); err != nil {
		return err
	}
	err := s.store.View(r.Context(), func(tx *store.Tx) error { _, err := tx.Tenant(in.Name); return err })
	if errors.Is(err, store.ErrNotFound) {
		c.Action, err = audit.TenantAdd, c.may(access.TenantCreate, "")
	}
	if err != nil {
		return err
	}
	c.Tell("tenant/"+in.Name, map[string]int{"roots": len(in.Roots)})
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

func (s *Service) getTenants(w http.ResponseWriter, r *http.Request, c *call) error {
	if _, _, err := c.where(""); err != nil {
		return err
	}
	out := api.Tenants{Tenants: []api.Tenant{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Tenants()
		for _, t := range all {
			if c.sees(t.Name) {
				out.Tenants = append(out.Tenants, tenantOut(t))
			}
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

func (s *Service) postClaim(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewClaim
	if err := readIn(w, r, c, &in, func() string { return in.Tenant }); err != nil {
		return err
	}
	if in.Seconds > math.MaxInt64/int64(time.Second) {
		return &director.Error{Code: wire.CodeBadRequest, Message: "seconds is too large"}
	}
	token, claim, err := s.director.NewToken(r.Context(), director.TokenOrder{Tenant: in.Tenant, Uses: in.Uses,
		Lifetime: time.Duration(in.Seconds) * time.Second, Product: in.Product, Group: in.Group})
	if err != nil {
		return err
	}
	out := claimOut(claim)
	out.Token = token
	return ok(w, out)
}

func (s *Service) getClaims(w http.ResponseWriter, r *http.Request, c *call) error {
	if _, _, err := c.where(""); err != nil {
		return err
	}
	out := api.Claims{Claims: []api.Claim{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Claims()
		for _, one := range all {
			if c.sees(one.Tenant) {
				out.Claims = append(out.Claims, claimOut(one))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func claimOut(c store.Claim) api.Claim {
	return api.Claim{ID: c.ID, Tenant: c.Tenant, Uses: c.Uses, Expires: c.Expires, Created: c.Created,
		Product: c.Product, Group: c.Group, Revoked: maybe(c.Revoked)}
}
