package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
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
