package access

import (
	"errors"
	"fmt"
	"time"
)

// Grant lets an organisation into a tenant that is not its own.
type Grant struct {
	From        Scope     // the tenant that lets in
	To          Scope     // the organisation, a tenant itself
	Role        string    // by name, for people
	Permissions Set       // of the role, as it is now
	Expires     time.Time // zero for never
	Ended       time.Time // when somebody ended it, zero if nobody did
}

// Active reports whether g still lets anybody in.
func (g Grant) Active(now time.Time) bool { return before(now, g.Expires) && before(now, g.Ended) }

// permissions are those that can be granted; a role may have more.
func (g Grant) permissions() Set {
	return g.Permissions.And(usable(g.From)).Without(neverGranted())
}

// Check refuses a grant of a wrong shape.
func (g Grant) Check() error {
	for _, s := range []Scope{g.From, g.To} {
		if err := s.Check(); err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		if s == Service {
			return errors.New("grant: it is between two tenants; a token of the service needs none")
		}
	}
	if g.From == g.To {
		return fmt.Errorf("grant: tenant %s cannot let itself in", g.From)
	}
	if g.permissions() == (Set{}) {
		return fmt.Errorf("grant: role %s has nothing that can be granted", g.Role)
	}
	return nil
}

// CanGrant says whether p may make g, which counts from now on.
func CanGrant(p Principal, g Grant, now time.Time) error {
	if err := g.Check(); err != nil {
		return err
	}
	if err := Allow(p, GrantWrite, g.From, now); err != nil {
		return err
	}
	if !g.Active(now) {
		return errors.New("grant: it would be over before it begins")
	}
	if err := p.covers(g.permissions(), g.From, now); err != nil {
		return err
	}
	return p.outlives(g.Expires)
}

// CanEndGrant says whether p may end g: either side may at any time.
func CanEndGrant(p Principal, g Grant, now time.Time) error {
	err := Allow(p, GrantWrite, g.From, now)
	if err != nil && Allow(p, GrantWrite, g.To, now) == nil {
		return nil
	}
	return err
}
