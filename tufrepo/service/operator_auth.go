package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// caller finds out who asks. With an error the call says as much as was proved: a token that
// is over is somebody's, one that is not known is nobody's.
func (s *Service) caller(r *http.Request) (*call, error) {
	now := s.Clock()
	c := &call{now: now, Note: &auditlog.Note{Entry: audit.Entry{Time: now, Actor: audit.Actor{Kind: audit.Nobody},
		Outcome: audit.OK, Source: sourceOf(r.RemoteAddr)}}}
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		return c, unauthorized("a token is needed: the one of this machine is in state/service/" + TokenFile + " of the repository")
	}
	token, err := access.ParseToken(text)
	if err != nil {
		return c, unauthorized("a token is needed, and this is none: " + err.Error())
	}
	var row store.Token
	err = s.store.View(r.Context(), func(tx *store.Tx) error {
		row, c.principal, err = s.principal(tx, token)
		return err
	})
	if err != nil {
		return c, err
	}
	c.Actor, c.Role = audit.Actor{Kind: audit.Token, ID: row.ID}, row.Role
	switch {
	case !row.Revoked.IsZero():
		return c, unauthorized("the token was revoked")
	case !row.Expires.IsZero() && !now.Before(row.Expires):
		return c, unauthorized("the token has expired on " + row.Expires.Format(time.RFC3339))
	}
	s.used(r.Context(), row, now)
	return c, nil
}

func unauthorized(message string) error {
	return &director.Error{Code: wire.CodeUnauthorized, Message: message}
}

// principal looks a token up. A token that is not there takes the same way as a wrong secret.
func (s *Service) principal(tx *store.Tx, token access.Token) (store.Token, access.Principal, error) {
	row, err := tx.Token(token.ID())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return row, access.Principal{}, err
	}
	if !access.LoadHash(row.Hash).Matches(token.Hash()) {
		return store.Token{}, access.Principal{}, unauthorized("the token is not known here")
	}
	p, err := principalOf(tx, row)
	return row, p, err
}

// principalOf is what a token stands for now.
func principalOf(tx *store.Tx, row store.Token) (access.Principal, error) {
	p := access.Principal{Token: row.ID, Scope: scopeOf(row.Tenant), Role: row.Role, Expires: row.Expires}
	var err error
	if p.Permissions, err = permissionsOf(tx, row.Tenant, row.Role); err != nil || row.Tenant == "" {
		return p, err
	}
	given, err := tx.GrantsTo(row.Tenant)
	for _, g := range given {
		one, err := grantOf(tx, g)
		if err != nil {
			return p, err
		}
		p.Grants = append(p.Grants, one)
	}
	return p, err
}

func grantOf(tx *store.Tx, g store.Grant) (access.Grant, error) {
	can, err := permissionsOf(tx, g.Tenant, g.Role)
	return access.Grant{From: scopeOf(g.Tenant), To: scopeOf(g.Grantee), Role: g.Role, Permissions: can, Expires: g.Expires, Ended: g.Ended}, err
}

// permissionsOf is what a role of a tenant, or a built-in one, gives. One that was removed
// gives nothing.
func permissionsOf(tx *store.Tx, tenant, role string) (can access.Set, err error) {
	if r, ok := access.Find(role); ok {
		return r.Permissions, nil
	}
	row, err := tx.Role(tenant, role)
	if errors.Is(err, store.ErrNotFound) {
		return can, nil
	}
	if err != nil {
		return can, err
	}
	if err := json.Unmarshal(row.Permissions, &can); err != nil {
		return can, fmt.Errorf("role %s: %w", role, err)
	}
	return can, nil
}

// useEvery is how often the use of a token is noted.
const useEvery = time.Minute

// used notes when a token was used. A note that is lost is made by the next use.
func (s *Service) used(ctx context.Context, t store.Token, now time.Time) {
	if now.Sub(t.Used) < useEvery {
		return
	}
	if err := s.store.Update(ctx, func(tx *store.Tx) error { return tx.UseToken(t.ID, now) }); err != nil {
		s.Log.Warn("the use of a token is not noted", "token", t.ID, "error", err)
	}
}

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
	c.Detail = auditlog.Detail(map[string]string{"call": row.pattern, "path": wire.Text(r.URL.Path), "reason": wire.Text(err.Error())})
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

// openAccess sees to it that who stands at this machine can get in. Where operator.token is
// missing, or has what is no token, a new admin of the service takes the place of the one that
// was there. A token that is not known counts where nobody else is an admin: the database is
// new. One that was withdrawn stays withdrawn.
func (s *Service) openAccess(ctx context.Context) error {
	path := filepath.Join(s.dir, TokenFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	token, err := access.ParseToken(strings.TrimSpace(string(b)))
	if err == nil {
		return s.keepToken(ctx, token)
	}
	if token, _, err = access.NewToken(rand.Reader); err != nil {
		return err
	}
	if err := s.letIn(ctx, token); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(token.Reveal()+"\n"), 0o600)
}

// keepToken lets a token in that the database does not have, unless it has another admin.
func (s *Service) keepToken(ctx context.Context, token access.Token) error {
	needed := false
	err := s.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Token(token.ID())
		if errors.Is(err, store.ErrNotFound) {
			needed, err = noAdmin(tx, s.Clock())
		}
		return err
	})
	if err != nil || !needed {
		return err
	}
	return s.letIn(ctx, token)
}

func noAdmin(tx *store.Tx, now time.Time) (bool, error) {
	all, err := tx.Tokens("")
	for _, t := range all {
		if t.Role == access.Admin && t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires)) {
			return false, err
		}
	}
	return true, err
}

// letIn makes a token the admin of this machine, in place of others of its name.
func (s *Service) letIn(ctx context.Context, token access.Token) error {
	now, name, hash := s.Clock(), "operators of this machine", token.Hash()
	if s.Node != "" {
		name = "operators of " + s.Node
	}
	tell := func(tx *store.Tx, action audit.Action, id string) error {
		return auditlog.Append(tx, "", audit.Entry{Time: now, Actor: audit.Actor{Kind: audit.System, ID: "serve"}, Action: action, Object: "token/" + id,
			Outcome: audit.OK, Detail: auditlog.Detail(map[string]string{"name": name, "role": access.Admin})})
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		all, err := tx.Tokens("")
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.Name != name || !t.Revoked.IsZero() {
				continue
			}
			if err := errors.Join(tx.RevokeToken(t.ID, now), tell(tx, audit.TokenRevoke, t.ID)); err != nil {
				return err
			}
		}
		if err := tx.AddToken(store.Token{ID: token.ID(), Name: name, Role: access.Admin, Hash: hash[:], Created: now}); err != nil {
			return err
		}
		return tell(tx, audit.TokenAdd, token.ID())
	})
}
