package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// operatorRoute is one row of the operator port's table. The tests and the API's description
// go through the table.
type operatorRoute struct {
	// pattern is one of http.ServeMux. {tenant} in it is the scope of the call; without it
	// the call concerns the whole service.
	pattern    string
	permission access.Permission // what the caller must be allowed in that scope
	// action is what stands in the audit log; empty for a call that only reads. The entry is
	// written by the first auditlog.Update under the request's context, in its transaction.
	action audit.Action
	// asks is for calls whose scope is not in the path: the handler finds it out and calls
	// c.in or c.where. What it answers before that is not sent.
	asks bool
	// about is what the API's description says of it; in, query and out are what goes in and
	// comes back: a value of a type of package api, or nil.
	about string
	in    any
	query []string // names of the parameters in the URL
	out   any

	handle func(w http.ResponseWriter, r *http.Request, c *call) error
}

// operatorTable is everything below /api/v1.
func (s *Service) operatorTable() []operatorRoute {
	return slices.Concat(s.tenantRoutes(), s.fleetRoutes(), s.reportRoutes(), s.rolloutRoutes(), s.groupRoutes(), s.enrollRoutes(),
		s.settingsRoutes(), s.accessRoutes(), s.auditRoutes())
}

// call is who asks, and what is told of it in the audit log.
type call struct {
	principal  access.Principal
	permission access.Permission // of the route
	now        time.Time
	*auditlog.Note

	asked   string // the tenant that was asked for last
	entered bool   // it is known in which scope the call is, and the caller may be there
}

// in asks whether the caller may do in a tenant, or under the empty name in the service, what
// the route is for. From then on the call is that tenant's.
func (c *call) in(tenant string) error {
	c.asked = tenant
	if err := c.may(c.permission, tenant); err != nil {
		return err
	}
	c.Tenant, c.entered = tenant, true
	return nil
}

// may asks for another permission than the route's.
func (c *call) may(p access.Permission, tenant string) error {
	return access.Allow(c.principal, p, scopeOf(tenant), c.now)
}

// where lists the tenants that a list may show: all of them, or those. want, if not empty,
// is the one that was asked for.
func (c *call) where(want string) (all bool, tenants []string, err error) {
	if want != "" {
		return false, []string{want}, c.in(want)
	}
	all, tenants = access.Where(c.principal, c.permission, c.now)
	if !all && len(tenants) == 0 {
		return false, nil, c.in(tenantOf(c.principal.Scope))
	}
	c.entered = true
	return all, tenants, nil
}

// sees says whether a list may show what belongs to a tenant.
func (c *call) sees(tenant string) bool {
	return access.Allow(c.principal, c.permission, scopeOf(tenant), c.now) == nil
}

func scopeOf(tenant string) access.Scope {
	if tenant == "" {
		return access.Service
	}
	return access.Scope(tenant)
}

// tenantOf is the name under which the database keeps what belongs to a scope.
func tenantOf(s access.Scope) string {
	if s == access.Service {
		return ""
	}
	return string(s)
}

// operate makes a handler of a row: it knows who calls, asks whether they may, and sees to
// it that no change and no refusal goes untold.
func (s *Service) operate(row operatorRoute) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.caller(r)
		if err != nil {
			s.refuseCaller(w, r, c, err)
			return
		}
		c.permission, c.Action = row.permission, row.action
		h := &held{ResponseWriter: w, settled: func() bool { return c.entered && (row.action == "" || c.Written()) }}
		r = r.WithContext(auditlog.With(r.Context(), c.Note))
		if err = s.enter(row, r, c); err == nil {
			err = row.handle(h, r, c)
		}
		if err == nil {
			err = s.settle(r.Context(), row, c)
		}
		if err != nil {
			s.refuseCall(w, r, row, c, err)
			return
		}
		h.release()
	}
}

// enter checks the scope where the path has it.
func (s *Service) enter(row operatorRoute, r *http.Request, c *call) error {
	if row.asks {
		return nil
	}
	tenant := r.PathValue("tenant")
	if strings.Contains(row.pattern, "{tenant}") && scopeOf(tenant).Check() != nil {
		return access.ErrNotFound
	}
	return c.in(tenant)
}

// settle writes the entry of a change that did not touch the database, or did nothing.
func (s *Service) settle(ctx context.Context, row operatorRoute, c *call) error {
	if !c.entered {
		return fmt.Errorf("%s was answered without asking for its scope", row.pattern)
	}
	if row.action == "" {
		return nil
	}
	return auditlog.Update(ctx, s.store, func(*store.Tx) error { return nil })
}

// refuseCall answers with the reason, and tells of it where it is told.
func (s *Service) refuseCall(w http.ResponseWriter, r *http.Request, row operatorRoute, c *call, err error) {
	if err = accessError(err); !c.entered && isNotFound(err) {
		err = store.ErrNotFound // in the same words, whatever was not found
	}
	s.tellRefusal(r, row, c, err)
	s.failWith(w, r, err)
}

func isNotFound(err error) bool {
	var refused *director.Error
	return errors.Is(err, store.ErrNotFound) || errors.As(err, &refused) && refused.Code == wire.CodeNotFound
}

// accessError gives the errors of package access their answers.
func accessError(err error) error {
	code := ""
	switch {
	case errors.Is(err, access.ErrNotFound):
		return store.ErrNotFound
	case errors.Is(err, access.ErrForbidden):
		code = api.CodeForbidden
	case errors.Is(err, access.ErrExpired):
		code = wire.CodeUnauthorized
	case errors.Is(err, access.ErrLastAdmin), errors.Is(err, store.ErrConflict):
		code = wire.CodeConflict
	default:
		return err
	}
	return &director.Error{Code: code, Message: err.Error()}
}

// held keeps an answer back until it is settled that it may be given: an answer that says
// "done" of what is not in the audit log must not go out.
type held struct {
	http.ResponseWriter
	settled func() bool
	status  int
	body    bytes.Buffer
}

func (h *held) WriteHeader(status int) {
	if h.settled() && h.status == 0 {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	h.status = status
}

func (h *held) Write(b []byte) (int, error) {
	if h.settled() && h.status == 0 && h.body.Len() == 0 {
		return h.ResponseWriter.Write(b)
	}
	return h.body.Write(b)
}

func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *held) release() {
	if h.status != 0 {
		h.ResponseWriter.WriteHeader(h.status)
	}
	if h.body.Len() > 0 {
		h.ResponseWriter.Write(h.body.Bytes()) // the client may have gone
	}
}

// sourceOf is where a request comes from.
func sourceOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
