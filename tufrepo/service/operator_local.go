package service

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

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
