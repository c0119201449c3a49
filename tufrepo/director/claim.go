package director

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// NewClaim makes a token that lets uses devices enrol with tenant until lifetime has
// passed. The token, "{id}.{secret}", is returned once and never again.
func (d *Director) NewClaim(ctx context.Context, tenant string, uses int64, lifetime time.Duration) (token string, c store.Claim, err error) {
	if uses < 1 || uses > 1_000_000 || lifetime < time.Second || lifetime > 366*24*time.Hour {
		return "", c, refuse(wire.CodeBadRequest, "a claim token has 1 to 1000000 uses and lasts from a second to a year")
	}
	id, secret := make([]byte, 6), make([]byte, 32)
	rand.Read(id) // never fails
	rand.Read(secret)
	now := d.Clock().UTC().Truncate(time.Second)
	c = store.Claim{ID: hex.EncodeToString(id), Tenant: tenant, Uses: uses, Created: now, Expires: now.Add(lifetime)}
	text := base64.RawURLEncoding.EncodeToString(secret)
	c.Hash = secretHash(text)
	err = d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Tenant(tenant); err != nil {
			return notFound(err, "tenant %s does not exist: add it with fairlead-repo tenant add", tenant)
		}
		return tx.AddClaim(c)
	})
	return c.ID + "." + text, c, err
}

// secretHash needs no salt and no stretching: the secret has 256 random bits.
func secretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// claim checks the token; a renewal stands for a claim of the caller's tenant.
func (e *enrolment) claim() (store.Claim, error) {
	if e.request.Claim == "" && e.caller != nil {
		return store.Claim{Tenant: e.caller.Tenant}, nil
	}
	id, secret, _ := strings.Cut(e.request.Claim, ".")
	c, err := e.tx.Claim(id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return c, err
	}
	// An unknown id, which is no secret, takes the same way as a wrong secret.
	if subtle.ConstantTimeCompare(secretHash(secret), c.Hash) != 1 {
		return c, refuse(wire.CodeClaimUnknown, "the claim token is not known here")
	}
	if !e.d.Clock().Before(c.Expires) {
		return c, refuse(wire.CodeClaimExpired, "the claim token expired on %s: ask for a new one", c.Expires.Format(time.RFC3339))
	}
	return c, nil
}

func (e *enrolment) use(c store.Claim) error {
	err := e.tx.UseClaim(c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return refuse(wire.CodeClaimUsed, "the claim token has no uses left: ask for a new one")
	}
	return err
}
