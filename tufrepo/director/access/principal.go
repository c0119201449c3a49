package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Errors that callers answer in different ways.
var (
	// ErrExpired: the token's time is over.
	ErrExpired = errors.New("the token has expired")
	// ErrNotFound: the scope is not the caller's business. It says no more than that.
	ErrNotFound = errors.New("not found")
	// ErrForbidden: the caller may be there, and may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrLastAdmin: nobody would be left who can let others in.
	ErrLastAdmin = errors.New("it is the last admin")
)

// Scope is where something holds: the name of a tenant, or Service. The empty scope is
// nowhere, so that what was forgotten opens nothing.
type Scope string

// Service is the service itself, with all of its tenants. No tenant can have the name.
const Service Scope = "*"

// Check refuses what is neither Service nor a tenant's name.
func (s Scope) Check() error {
	if s == Service {
		return nil
	}
	if err := wire.CheckID(string(s)); err != nil {
		return fmt.Errorf("scope %.64q is neither a tenant nor *: %w", string(s), err)
	}
	return nil
}

// usable are the permissions that mean something for a token of scope s.
func usable(s Scope) Set {
	if s == Service {
		return All()
	}
	return All().Without(ofService())
}

// Principal is what a token stands for. Its zero value may do nothing.
type Principal struct {
	Token       string    // its id
	Scope       Scope     //
	Role        string    // by name: it is only for people, but for Admin; see CanRevoke
	Permissions Set       // of the role, as it is now
	Expires     time.Time // zero for never
	Grants      []Grant   // that other tenants have given to Scope
}

func (p Principal) alive(now time.Time) bool { return before(now, p.Expires) }

// before treats the zero time as the end of time.
func before(now, end time.Time) bool { return end.IsZero() || now.Before(end) }

// in is what p may do in scope s, and whether s is its business at all.
func (p Principal) in(s Scope, now time.Time) (Set, bool) {
	switch {
	case p.Token == "" || p.Scope == "" || s == "":
		return Set{}, false
	case p.Scope == Service:
		return p.Permissions, true
	case p.Scope == s:
		return p.Permissions.And(usable(s)), true
	case s == Service:
		return Set{}, true // everybody knows that there is a service
	}
	var can Set
	let := false
	for _, g := range p.Grants {
		if g.From == s && g.To == p.Scope && g.Active(now) {
			can, let = can.Or(g.permissions()), true
		}
	}
	return can.And(p.Permissions), let
}

// Allow says whether p may do what the permission names in scope s. Errors: ErrExpired,
// ErrNotFound, ErrForbidden. Whether a tenant s exists makes no difference to the answer.
func Allow(p Principal, permission Permission, s Scope, now time.Time) error {
	if !p.alive(now) {
		return fmt.Errorf("%w on %s", ErrExpired, p.Expires.UTC().Format(time.RFC3339))
	}
	can, let := p.in(s, now)
	if !let {
		return ErrNotFound
	}
	if !can.Has(permission) {
		return fmt.Errorf("%w: it needs the permission %s, which role %s does not give here", ErrForbidden, permission, p.Role)
	}
	return nil
}

// Where lists the scopes in which p may do what the permission names: all of them, or
// those tenants. It is for lists; a tenant that is not in it is not shown.
func Where(p Principal, permission Permission, now time.Time) (all bool, tenants []string) {
	if p.Scope == Service {
		return Allow(p, permission, Service, now) == nil, nil
	}
	scopes := []Scope{p.Scope}
	for _, g := range p.Grants {
		scopes = append(scopes, g.From)
	}
	seen := map[Scope]bool{}
	for _, s := range scopes {
		if !seen[s] && Allow(p, permission, s, now) == nil {
			tenants = append(tenants, string(s))
		}
		seen[s] = true
	}
	return false, tenants
}

// covers says whether p has all of want in scope s: nobody gives, or takes, more.
func (p Principal) covers(want Set, s Scope, now time.Time) error {
	can, let := p.in(s, now)
	if !let {
		return ErrNotFound
	}
	if more := want.And(usable(s)).Without(can); more != (Set{}) {
		return fmt.Errorf("%w: the token itself does not have %s", ErrForbidden, more)
	}
	return nil
}

// outlives says whether something may last until end where p made it.
func (p Principal) outlives(end time.Time) error {
	if p.Expires.IsZero() || !end.IsZero() && !end.After(p.Expires) {
		return nil
	}
	return fmt.Errorf("%w: it must end with the token that makes it, %s, or sooner", ErrForbidden, p.Expires.UTC().Format(time.RFC3339))
}
