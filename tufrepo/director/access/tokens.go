package access

import (
	"errors"
	"fmt"
	"time"
)

// CanIssue says whether p may make the token t.
func CanIssue(p, t Principal, now time.Time) error {
	if t.Token == "" {
		return errors.New("a token needs an id")
	}
	if err := t.Scope.Check(); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if err := Allow(p, TokenWrite, t.Scope, now); err != nil {
		return err
	}
	if r, ok := Find(t.Role); ok && r.Permissions != t.Permissions {
		return fmt.Errorf("token: role %s has other permissions than these", t.Role)
	}
	if t.Permissions.And(usable(t.Scope)) == (Set{}) {
		return fmt.Errorf("token: role %s allows nothing in scope %s", t.Role, t.Scope)
	}
	if !t.alive(now) {
		return errors.New("token: it would be over before it begins")
	}
	if err := p.covers(t.Permissions, t.Scope, now); err != nil {
		return err
	}
	return p.outlives(t.Expires)
}

// CanRevoke says whether p may withdraw the token t. others are the tokens of t's scope that
// have not been withdrawn; t may be among them. A token may always withdraw itself, but for
// the last admin: a scope whose last admin is gone can let nobody in again. An admin is who
// has the built-in role; one whose time is over, or who may come in from elsewhere, does not
// count. That the last one's time runs out by itself nobody can forbid: a token of the
// service helps a tenant then, and the service's own machine the service.
func CanRevoke(p, t Principal, others []Principal, now time.Time) error {
	if !p.alive(now) || p.Token == "" || p.Token != t.Token {
		if err := p.mayTouch(t, now); err != nil {
			return err
		}
	}
	return notLast(t, others, now)
}

// CanChange says whether p may make token was into will: another role, another end. others
// are as for CanRevoke.
func CanChange(p, was, will Principal, others []Principal, now time.Time) error {
	if was.Token != will.Token || was.Scope != will.Scope {
		return errors.New("a token keeps its id and its scope: make another one")
	}
	if err := p.mayTouch(was, now); err != nil {
		return err
	}
	if err := CanIssue(p, will, now); err != nil {
		return err
	}
	if will.isAdmin(now) {
		return nil
	}
	return notLast(was, others, now)
}

// mayTouch: who could not give a token cannot take it.
func (p Principal) mayTouch(t Principal, now time.Time) error {
	if err := Allow(p, TokenWrite, t.Scope, now); err != nil {
		return err
	}
	return p.covers(t.Permissions, t.Scope, now)
}

func (p Principal) isAdmin(now time.Time) bool { return p.Role == Admin && p.alive(now) }

func notLast(t Principal, others []Principal, now time.Time) error {
	if !t.isAdmin(now) {
		return nil
	}
	for _, o := range others {
		if o.Token != t.Token && o.Scope == t.Scope && o.isAdmin(now) {
			return nil
		}
	}
	return fmt.Errorf("token %s: %w of scope %s: make another one first", t.Token, ErrLastAdmin, t.Scope)
}
