package service

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) accessRoutes() []operatorRoute {
	out := []operatorRoute{
		{pattern: "POST /api/v1/tokens/{id}/revoke", permission: access.TokenWrite, action: audit.TokenRevoke, asks: true, handle: s.postTokenRevoke,
			about: "withdraw an API token, at once; everybody may withdraw their own, but for the last admin", out: api.Token{}},
		{pattern: "GET /api/v1/tenants/{tenant}/grants", permission: access.TokenRead, handle: s.getGrants,
			about: "list what a tenant has granted, and what it was granted", out: api.Grants{}},
		{pattern: "POST /api/v1/tenants/{tenant}/grants", permission: access.GrantWrite, action: audit.GrantAdd, handle: s.postGrant,
			about: "let another organisation into a tenant", in: api.NewGrant{}, out: api.Grant{}},
		{pattern: "POST /api/v1/grants/end", permission: access.GrantWrite, action: audit.GrantEnd, asks: true, handle: s.postGrantEnd,
			about: "end a grant; either side may", in: api.EndGrant{}, out: api.Done{}},
	}
	for _, of := range []struct{ path, words string }{{"/api/v1", "the service"}, {"/api/v1/tenants/{tenant}", "a tenant"}} {
		out = append(out,
			operatorRoute{pattern: "GET " + of.path + "/tokens", permission: access.TokenRead, handle: s.getTokens,
				about: "list the API tokens of " + of.words + ", without what is secret", out: api.Tokens{}},
			operatorRoute{pattern: "POST " + of.path + "/tokens", permission: access.TokenWrite, action: audit.TokenAdd, handle: s.postToken,
				about: "make an API token of " + of.words + "; it is in this answer and in no other", in: api.NewToken{}, out: api.Token{}},
			operatorRoute{pattern: "GET " + of.path + "/roles", permission: access.TokenRead, handle: s.getRoles,
				about: "list the built-in roles and those of " + of.words, out: api.Roles{}},
			operatorRoute{pattern: "PUT " + of.path + "/roles/{role}", permission: access.RoleWrite, action: audit.RoleAdd, handle: s.putRole,
				about: "make or change a role of " + of.words, in: api.NewRole{}, out: api.Role{}},
			operatorRoute{pattern: "DELETE " + of.path + "/roles/{role}", permission: access.RoleWrite, action: audit.RoleRemove, handle: s.deleteRole,
				about: "remove a role of " + of.words + "; tokens and grants that name it give nothing from then on", out: api.Done{}},
		)
	}
	return out
}

func badRequest(message string) error {
	return &director.Error{Code: wire.CodeBadRequest, Message: message}
}

// decided passes on what package access says of a request: its sentinels mean what they mean,
// everything else is a request of a wrong shape.
func decided(err error) error {
	for _, e := range []error{nil, access.ErrExpired, access.ErrForbidden, access.ErrLastAdmin, access.ErrNotFound} {
		if errors.Is(err, e) {
			return err
		}
	}
	return badRequest(err.Error())
}

// endOf is when something ends that is to last for so many seconds; zero for never.
func endOf(now time.Time, seconds int64) (time.Time, error) {
	const most = 100 * 366 * 24 * 3600
	if seconds < 0 || seconds > most {
		return time.Time{}, badRequest("seconds is out of range")
	}
	if seconds == 0 {
		return time.Time{}, nil
	}
	return now.UTC().Truncate(time.Second).Add(time.Duration(seconds) * time.Second), nil
}

func (s *Service) getTokens(w http.ResponseWriter, r *http.Request, c *call) error {
	out := api.Tokens{Tokens: []api.Token{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		all, err := tx.Tokens(c.Tenant)
		for _, t := range all {
			out.Tokens = append(out.Tokens, tokenOut(t))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

// there is store.ErrNotFound for a tenant that does not exist. The service does.
func there(tx *store.Tx, tenant string) error {
	if tenant == "" {
		return nil
	}
	_, err := tx.Tenant(tenant)
	return err
}

func tokenOut(t store.Token) api.Token {
	return api.Token{ID: t.ID, Tenant: t.Tenant, Name: t.Name, Role: t.Role, Created: t.Created, Expires: maybe(t.Expires),
		Revoked: maybe(t.Revoked), Used: maybe(t.Used)}
}

func (s *Service) postToken(w http.ResponseWriter, r *http.Request, c *call) error {
	var in api.NewToken
	if err := read(w, r, &in); err != nil {
		return err
	}
	expires, err := endOf(c.now, in.Seconds)
	if err != nil {
		return err
	}
	if in.Name == "" || len(in.Name) > 100 || wire.Text(in.Name) != in.Name {
		return badRequest("a token needs a name of at most 100 bytes, in one line")
	}
	token, hash, err := access.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	row := store.Token{ID: token.ID(), Tenant: c.Tenant, Name: in.Name, Role: in.Role, Hash: hash[:], Created: c.now, Expires: expires}
	c.Tell("token/"+row.ID, in)
	err = auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error {
		if err := there(tx, c.Tenant); err != nil {
			return err
		}
		t, err := principalOf(tx, row)
		if err != nil {
			return err
		}
		if t.Permissions == (access.Set{}) {
			return badRequest("there is no role of that name here: look at fairlead-repo role list")
		}
		if err := decided(access.CanIssue(c.principal, t, c.now)); err != nil {
			return err
		}
		return tx.AddToken(row)
	})
	if err != nil {
		return err
	}
	out := tokenOut(row)
	out.Token = token.Reveal()
	return ok(w, out)
}

// postTokenRevoke enters the scope of the token that it finds. Their own token everybody may
// give back, whatever they may do else.
func (s *Service) postTokenRevoke(w http.ResponseWriter, r *http.Request, c *call) error {
	id := r.PathValue("id")
	c.Tell(object("token", id), nil)
	var row store.Token
	err := s.store.View(r.Context(), func(tx *store.Tx) (err error) {
		row, err = tx.Token(id)
		return err
	})
	if err != nil {
		return err
	}
	if row.ID == c.principal.Token {
		c.Tenant, c.entered = row.Tenant, true
	} else if err := c.in(row.Tenant); err != nil {
		return err
	}
	err = auditlog.Update(r.Context(), s.store, func(tx *store.Tx) error {
		if err := s.canRevoke(tx, c, row); err != nil {
			return err
		}
		if err := tx.RevokeToken(id, c.now); err != nil {
			return err
		}
		row, err = tx.Token(id)
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, tokenOut(row))
}

func (s *Service) canRevoke(tx *store.Tx, c *call, row store.Token) error {
	all, err := tx.Tokens(row.Tenant)
	if err != nil {
		return err
	}
	var others []access.Principal
	for _, t := range all {
		if !t.Revoked.IsZero() {
			continue
		}
		p, err := principalOf(tx, t)
		if err != nil {
			return err
		}
		others = append(others, p)
	}
	p, err := principalOf(tx, row)
	if err != nil {
		return err
	}
	return decided(access.CanRevoke(c.principal, p, others, c.now))
}
