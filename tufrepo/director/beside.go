package director

import (
	"context"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Named is the device that a broker beside this service names, which has asked for its
// credential. Errors of type *Error as of Admit.
func (d *Director) Named(ctx context.Context, tenant, device string) (Identity, error) {
	return Identity{tenant, device}, d.Store.View(ctx, func(tx *store.Tx) error {
		dev, err := tx.Device(device)
		switch {
		case isNotFound(err), err == nil && dev.Tenant != tenant:
			return refuse(wire.CodeUnauthorized, "device %s of tenant %s is not known here", device, tenant)
		case err != nil:
			return err
		}
		return stands(dev.Standing())
	})
}

// Letter is the newest direction of a device, and to whom it goes. store.ErrNotFound where there
// is none. A revoked device gets no letters.
func (d *Director) Letter(ctx context.Context, device string) (to Identity, raw []byte, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		dev, err := tx.Device(device)
		if err == nil && !dev.Revoked.IsZero() {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		dir, err := tx.Direction(device)
		to, raw = Identity{dev.Tenant, device}, dir.Raw
		return err
	})
	return to, raw, err
}
