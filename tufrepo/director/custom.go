package director

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// A custom device has no certificate: it proves itself with its UUID and an access key. It is
// a device like others from the moment it was added: same topics, directions and limits.

// CustomOrder is a custom device that an operator wants.
type CustomOrder struct {
	Tenant            string
	ID                string // UUID; empty for a new one
	Name              string // for people; serves as its serial
	Product, Hardware string
	Group             string
}

func (o *CustomOrder) check() error {
	if o.ID == "" {
		o.ID = uuid.NewString()
	}
	id, err := uuid.Parse(o.ID)
	if err != nil || id.String() != o.ID || id == uuid.Nil {
		return refuse(wire.CodeBadRequest, "%.64q is not a UUID like 9f0c2d1e-5b1a-4c38-8f3e-2a7d9c1b0e4f, in lower case", o.ID)
	}
	for _, err := range []error{firmware.CheckProduct(o.Product), firmware.CheckHardware(o.Hardware), checkSerial(o.Name)} {
		if err != nil {
			return refuse(wire.CodeBadRequest, "%v", err)
		}
	}
	return checkGroup(o.Group)
}

// AddCustom adds a custom device and returns its access key, which is shown this once.
func (d *Director) AddCustom(ctx context.Context, o CustomOrder) (string, store.Custom, error) {
	if err := o.check(); err != nil {
		return "", store.Custom{}, err
	}
	key, hash, err := access.NewDeviceKey(rand.Reader, uuid.MustParse(o.ID))
	if err != nil {
		return "", store.Custom{}, err
	}
	c := store.Custom{ID: o.ID, Tenant: o.Tenant, Hash: hash[:], Name: o.Name, Product: o.Product, Hardware: o.Hardware, Group: o.Group, Created: d.now()}
	auditlog.Of(ctx).Tell("device/"+c.ID, map[string]string{"name": c.Name, "product": c.Product, "group": c.Group})
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return d.addCustom(tx, c) })
	c.Device = c.ID
	return key.Reveal(), c, err
}

func (d *Director) addCustom(tx *store.Tx, c store.Custom) error {
	if err := hasTenant(tx, c.Tenant); err != nil {
		return err
	}
	policy, err := policyOf(tx, c.Tenant)
	if err != nil {
		return err
	}
	if !policy.allows(WayCustom) {
		return refuse(wire.CodeConflict, "tenant %s does not take custom devices: allow them with fairlead-repo enroll policy set", c.Tenant)
	}
	if _, err := tx.Device(c.ID); err == nil {
		return refuse(wire.CodeConflict, "there is a device with the id %s: leave the UUID out and get a new one", c.ID)
	}
	if other, err := tx.DeviceByName(c.Tenant, c.Name, ""); err == nil {
		return refuse(wire.CodeConflict, "device %s has the name or serial %q: choose another", other.ID, c.Name)
	}
	if err := tx.AddCustom(c); err != nil {
		return err
	}
	dev := store.Device{ID: c.ID, Tenant: c.Tenant, Claim: string(WayCustom), Key: customKey(c.ID), Product: c.Product, Hardware: c.Hardware,
		Serial: c.Name, Group: c.Group, Enrolled: c.Created, Expires: noExpiry()}
	if err := tx.AddDevice(dev); err != nil {
		return err
	}
	if err := tx.BindCustom(c.ID, c.ID); err != nil {
		return err
	}
	if err := d.changed(tx, dev.Tenant, dev.ID); err != nil {
		return err
	}
	return d.issue(tx, dev, "", nil)
}

// noExpiry stands where others have the end of a certificate.
func noExpiry() time.Time { return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }

// customKey stands where others have the hash of their public key, and is the hash of none.
func customKey(id string) []byte {
	sum := sha256.Sum256([]byte("fairlead custom device\x00" + id))
	return sum[:]
}

// RotateCustom gives a custom device another access key. The old one ends at once, also on
// connections that are open.
func (d *Director) RotateCustom(ctx context.Context, tenant, id string) (string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return "", refuse(wire.CodeBadRequest, "%.64q is not a UUID", id)
	}
	key, hash, err := access.NewDeviceKey(rand.Reader, parsed)
	if err != nil {
		return "", err
	}
	err = d.changeCustom(ctx, tenant, id, func(tx *store.Tx) error { return tx.SetCustomHash(id, hash[:]) })
	return key.Reveal(), err
}

// RevokeCustom withdraws a custom device's access key, and the device.
func (d *Director) RevokeCustom(ctx context.Context, tenant, id string) error {
	return d.changeCustom(ctx, tenant, id, func(tx *store.Tx) error {
		if err := tx.RevokeCustom(id, d.Clock()); err != nil {
			return err
		}
		dev, err := tx.Device(id)
		if err != nil || !dev.Revoked.IsZero() {
			return err
		}
		return d.revoke(tx, dev)
	})
}

// changeCustom changes a custom device, and ends its connections.
func (d *Director) changeCustom(ctx context.Context, tenant, id string, f func(*store.Tx) error) error {
	auditlog.Of(ctx).Tell("device/"+id, nil)
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		c, err := tx.Custom(id)
		if err == nil && c.Tenant != tenant {
			err = store.ErrNotFound
		}
		if err == nil {
			err = f(tx)
		}
		if err == nil {
			err = withdraw(tx)
		}
		return err
	})
	if err == nil {
		d.cut(id)
		d.stir()
	}
	return notFound(err, "tenant %s has no custom device %s that still holds: look at fairlead-repo enroll custom list", tenant, id)
}

// Login tells which custom device an access key belongs to. user, if not empty, must be its
// UUID. Errors of type *Error: CodeUnauthorized, CodeRevoked, CodeOffline.
func (d *Director) Login(ctx context.Context, user, key string) (Identity, error) {
	unknown := refuse(wire.CodeUnauthorized, "the access key is not known here, or is not that of the device that was named")
	k, err := access.ParseDeviceKey(key)
	if err != nil || user != "" && user != k.ID() {
		return Identity{}, unknown
	}
	var id Identity
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Custom(k.ID())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if !access.LoadHash(c.Hash).Matches(k.Hash()) {
			return unknown
		}
		if !c.Revoked.IsZero() {
			return refuse(wire.CodeRevoked, "the access key of device %s was withdrawn on %s", c.ID, c.Revoked.Format(time.RFC3339))
		}
		dev, err := tx.Device(c.Device)
		if err != nil {
			return notFound(err, "device %s is not known here any more", c.ID)
		}
		id = Identity{c.Tenant, dev.ID}
		return stands(dev.Standing())
	})
	return id, err
}
