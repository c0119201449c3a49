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
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// TokenOrder is a claim token that an operator wants.
type TokenOrder struct {
	Tenant   string
	Uses     int64 // how many devices may enrol with it
	Lifetime time.Duration
	Product  string // that they must have; empty for any
	Group    string // that they will be in; empty for none
}

func (o TokenOrder) check() error {
	if o.Uses < 1 || o.Uses > 1_000_000 || o.Lifetime < time.Second || o.Lifetime > 366*24*time.Hour {
		return refuse(wire.CodeBadRequest, "a claim token has 1 to 1000000 uses and lasts from a second to a year")
	}
	if o.Product != "" {
		if err := firmware.CheckProduct(o.Product); err != nil {
			return refuse(wire.CodeBadRequest, "%v", err)
		}
	}
	return checkGroup(o.Group)
}

func checkGroup(path string) error {
	if path == "" {
		return nil
	}
	if err := store.CheckGroup(path); err != nil {
		return refuse(wire.CodeBadRequest, "%v", err)
	}
	return nil
}

// NewClaim makes a token that lets uses devices enrol with tenant until lifetime has
// passed. The token, "{id}.{secret}", is returned once and never again.
func (d *Director) NewClaim(ctx context.Context, tenant string, uses int64, lifetime time.Duration) (token string, c store.Claim, err error) {
	return d.NewToken(ctx, TokenOrder{Tenant: tenant, Uses: uses, Lifetime: lifetime})
}

// NewToken makes a claim token, which is returned once and never again.
func (d *Director) NewToken(ctx context.Context, o TokenOrder) (token string, c store.Claim, err error) {
	if err := o.check(); err != nil {
		return "", c, err
	}
	id, secret := make([]byte, 6), make([]byte, 32)
	rand.Read(id) // never fails
	rand.Read(secret)
	now := d.now()
	c = store.Claim{ID: hex.EncodeToString(id), Tenant: o.Tenant, Uses: o.Uses, Created: now, Expires: now.Add(o.Lifetime), Product: o.Product, Group: o.Group}
	text := base64.RawURLEncoding.EncodeToString(secret)
	c.Hash = secretHash(text)
	auditlog.Of(ctx).Tell("claim/"+c.ID, map[string]any{"uses": c.Uses, "expires": c.Expires, "product": c.Product, "group": c.Group})
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := hasTenant(tx, o.Tenant); err != nil {
			return err
		}
		return tx.AddClaim(c)
	})
	return c.ID + "." + text, c, err
}

// RevokeClaim withdraws a claim token. Devices that have enrolled with it stay.
func (d *Director) RevokeClaim(ctx context.Context, tenant, id string) error {
	auditlog.Of(ctx).Tell("claim/"+id, nil)
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return tx.RevokeClaim(tenant, id, d.Clock()) })
	return notFound(err, "tenant %s has no claim token %s that still holds: look at fairlead-repo claim-token list", tenant, id)
}

// now is the time in whole seconds, as it is stored and signed.
func (d *Director) now() time.Time { return d.Clock().UTC().Truncate(time.Second) }

// secretHash needs no salt and no stretching: the secret has 256 random bits.
func secretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// byToken is the ticket of a claim token.
func (e *enrolment) byToken() (ticket, error) {
	id, secret, _ := strings.Cut(e.request.Claim, ".")
	c, err := e.tx.Claim(id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return ticket{}, err
	}
	// An unknown id, which is no secret, takes the same way as a wrong secret.
	if subtle.ConstantTimeCompare(secretHash(secret), c.Hash) != 1 {
		return ticket{}, refuse(wire.CodeClaimUnknown, "the claim token is not known here")
	}
	switch {
	case !c.Revoked.IsZero():
		return ticket{}, refuse(wire.CodeClaimUnknown, "the claim token was withdrawn on %s: ask for a new one", c.Revoked.Format(time.RFC3339))
	case !e.d.Clock().Before(c.Expires):
		return ticket{}, refuse(wire.CodeClaimExpired, "the claim token expired on %s: ask for a new one", c.Expires.Format(time.RFC3339))
	case c.Product != "" && c.Product != e.request.Product:
		return ticket{}, refuse(wire.CodeClaimUnknown, "the claim token is for product %s, this device is a %s: ask for another one", c.Product, e.request.Product)
	}
	return ticket{way: WayToken, tenant: c.Tenant, claim: c.ID, group: c.Group, use: func(known bool, dev store.Device) error {
		if known && dev.Claim == c.ID {
			return nil // the answer was lost; another token would be another use
		}
		err := e.tx.UseClaim(c.ID)
		if errors.Is(err, store.ErrNotFound) {
			return refuse(wire.CodeClaimUsed, "the claim token has no uses left: ask for a new one")
		}
		return err
	}}, nil
}
