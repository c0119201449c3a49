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

// openAccess sees to it that who stands at this machine can get in: at the first start, and
// when no admin of the service is left, the token in operator.token becomes one.
func (s *Service) openAccess(ctx context.Context) error {
	now := s.Clock()
	path := filepath.Join(s.dir, TokenFile)
	there, err := s.hasAdmin(ctx, now)
	if err != nil || there {
		return err
	}
	token, err := tokenIn(path)
	if err != nil {
		return err
	}
	hash := token.Hash()
	note := &auditlog.Note{Entry: audit.Entry{Time: now, Actor: audit.Actor{Kind: audit.System, ID: "start"}, Action: audit.TokenAdd, Outcome: audit.OK}}
	note.Tell("token/"+token.ID(), map[string]string{"name": localToken, "role": access.Admin})
	return auditlog.Update(auditlog.With(ctx, note), s.store, func(tx *store.Tx) error {
		return tx.AddToken(store.Token{ID: token.ID(), Name: localToken, Role: access.Admin, Hash: hash[:], Created: now})
	})
}

// localToken is the name of the token in operator.token.
const localToken = "operators of this machine"

func (s *Service) hasAdmin(ctx context.Context, now time.Time) (there bool, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Tokens("")
		for _, t := range all {
			if t.Role == access.Admin && t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires)) {
				there = true
			}
		}
		return err
	})
	return there, err
}

// tokenIn makes the token of a file, unless a start that was cut off has left one there that
// nobody has used yet. What is there of another form, or was withdrawn, is replaced.
func tokenIn(path string) (access.Token, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return access.Token{}, err
	}
	if t, err := access.ParseToken(strings.TrimSpace(string(b))); err == nil {
		return t, nil
	}
	t, _, err := access.NewToken(rand.Reader)
	if err != nil {
		return t, err
	}
	return t, durable.WriteFile(path, []byte(t.Reveal()+"\n"), 0o600)
}
