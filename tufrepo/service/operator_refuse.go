package service

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// refuseCaller answers to who is nobody here, or no longer somebody.
func (s *Service) refuseCaller(w http.ResponseWriter, r *http.Request, c *call, err error) {
	var refused *director.Error
	if errors.As(err, &refused) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		c.Action, c.Outcome = audit.AccessRefuse, audit.Refused
		c.Tenant = tenantOf(c.principal.Scope)
		if c.principal.Scope == "" {
			c.Tenant = ""
		}
		c.Detail = auditlog.Detail(map[string]string{"reason": refused.Message})
		s.refusals.tell(r.Context(), c.Tenant, c.Entry)
	}
	s.failWith(w, r, err)
}

// tellRefusal writes of a call that was refused or went wrong. A refusal stands in the log of
// the tenant where the caller may be. Where that is not known, or not the caller's business,
// it stands in the log of the caller's own organisation: nobody learns out of a log which
// tenants exist.
func (s *Service) tellRefusal(r *http.Request, row operatorRoute, c *call, err error) {
	var refused *director.Error
	var tooLarge *http.MaxBytesError
	var forbidden bool
	switch {
	case errors.As(err, &refused):
		c.Outcome, forbidden = audit.Refused, refused.Code == api.CodeForbidden
	case errors.As(err, &tooLarge):
		c.Outcome = audit.Refused
	case errors.Is(err, store.ErrNotFound):
		c.Outcome, forbidden = audit.Refused, !c.entered
	default:
		c.Outcome = audit.Failed
	}
	if row.action == "" || row.pattern == "/" {
		if !forbidden || row.pattern == "/" {
			return
		}
		c.Action = audit.AccessRefuse
	}
	if !c.entered {
		c.Tenant = tenantOf(c.principal.Scope)
		if refused != nil && refused.Code == api.CodeForbidden && c.principal.Scope != access.Service {
			c.Tenant = c.asked
		}
	}
	c.Object = withoutSecrets(c.Object)
	c.Detail = auditlog.Detail(map[string]string{"call": row.pattern, "path": withoutSecrets(wire.Text(r.URL.Path)),
		"reason": withoutSecrets(wire.Text(err.Error()))})
	s.refusals.tell(context.WithoutCancel(r.Context()), c.Tenant, c.Entry)
}

// object names what a call is about; a name that cannot be one of ours is left out.
func object(kind, name string) string {
	text := wire.Text(name)
	if text != name || len(kind)+len(name) >= audit.MaxObject {
		return kind + "/?"
	}
	return kind + "/" + name
}

// secrets are API tokens, access keys and claim tokens, where somebody gives one in place of
// its id. Their first part is no secret.
var secrets = regexp.MustCompile(`(fl[td]_[0-9a-zA-Z-]+_|\b[0-9a-f]{12}\.)[0-9a-zA-Z_-]+`)

// withoutSecrets is what may stand in a log.
func withoutSecrets(text string) string { return secrets.ReplaceAllString(text, "$1...") }

// tellDevice notes that a device was refused. One that has proved who it is, and was
// withdrawn, is told of in its tenant's log; the rest is nobody.
func (s *Service) tellDevice(ctx context.Context, remote string, action audit.Action, id director.Identity, err error) {
	var refused *director.Error
	if !errors.As(err, &refused) || refused.Code == wire.CodeBusy || refused.Code == wire.CodeBadRequest {
		return
	}
	e := audit.Entry{Time: s.Clock(), Actor: audit.Actor{Kind: audit.Nobody}, Action: action, Outcome: audit.Refused, Source: sourceOf(remote),
		Detail: auditlog.Detail(map[string]string{"code": refused.Code, "reason": wire.Text(refused.Message)})}
	tenant := ""
	if refused.Code == wire.CodeRevoked && id.Device != "" {
		tenant, e.Actor, e.Object = id.Tenant, audit.Actor{Kind: audit.Device, ID: id.Device}, "device/"+id.Device
	}
	s.refusals.tell(context.WithoutCancel(ctx), tenant, e)
}
