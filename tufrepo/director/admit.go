package director

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Admit tells who holds a certificate that TLS has verified against the device authority.
// Errors of type *Error: CodeUnauthorized, CodeRevoked; CodeOffline together with the
// identity, for a device whose cloud connection the director has switched off.
func (d *Director) Admit(ctx context.Context, c *x509.Certificate) (Identity, error) {
	tenant, device, err := pki.Identity(c)
	if err != nil {
		return Identity{}, refuse(wire.CodeUnauthorized, "%v", err)
	}
	id, key := Identity{tenant, device}, keyHash(c.RawSubjectPublicKeyInfo)
	return id, d.Store.View(ctx, func(tx *store.Tx) error {
		dev, err := tx.Standing(device)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse(wire.CodeUnauthorized, "device %s is not known here: enrol it again", device)
		case err != nil:
			return err
		case dev.Tenant != tenant || string(dev.Key) != string(key):
			return refuse(wire.CodeUnauthorized, "the certificate is not the one of device %s", device)
		}
		return stands(dev)
	})
}

// KeyHash is how a device's key is named in the database and in quarantine.
func KeyHash(pub crypto.PublicKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	return keyHash(spki), nil
}

// stands says whether a device that has proved who it is may come in.
func stands(dev store.Standing) error {
	switch {
	case !dev.Revoked.IsZero():
		return refuse(wire.CodeRevoked, "device %s was revoked on %s", dev.ID, dev.Revoked.Format(time.RFC3339))
	case dev.CloudOff:
		return refuse(wire.CodeOffline, "the cloud connection of device %s is switched off: switch it on at the device, with fairlead-agent online", dev.ID)
	}
	return nil
}

// IsOffline says whether an error of Admit or Login is that the cloud connection is switched
// off: the device may fetch its direction and say how it is, and nothing else.
func IsOffline(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == wire.CodeOffline
}

// Withdrawn says whether an error of Admit or Login is final for the connection, and not a
// trouble of the database.
func Withdrawn(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// Revoke withdraws a device's identity.
func (d *Director) Revoke(ctx context.Context, device string) error {
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		dev, err := tx.Device(device)
		if err == nil {
			err = d.revoke(tx, dev)
		}
		return err
	})
	if err == nil {
		d.stir()
		d.Log.Warn("device revoked", "device", device)
		d.cut(device)
	}
	return notFound(err, "device %s does not exist or is revoked already", device)
}

func (d *Director) revoke(tx *store.Tx, dev store.Device) error {
	if err := tx.Revoke(dev.ID, d.Clock()); err != nil {
		return err
	}
	if err := d.changed(tx, dev.Tenant, dev.ID); err != nil {
		return err
	}
	return withdraw(tx)
}

// withdrawals changes whenever a credential that may be in use was withdrawn: other directors
// on the same database look at it, and then at their connections.
const withdrawals = "withdrawals"

func withdraw(tx *store.Tx) error { return tx.SetMeta(withdrawals, uuid.NewString()) }

// Withdrawals is a word that changes whenever a credential was withdrawn, by whichever
// director on the same database.
func (d *Director) Withdrawals(ctx context.Context) (word string, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		word, err = tx.Meta(withdrawals)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return word, err
}

// OnWithdrawn sets the function that is told of every device whose credential was withdrawn
// here. It must not block.
func (d *Director) OnWithdrawn(f func(device string)) { d.withdrawn.Store(&f) }

func (d *Director) cut(device string) {
	if f := d.withdrawn.Load(); f != nil {
		(*f)(device)
	}
}
