package director

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Cloud switches the cloud connection of a tenant's device off, or takes that back. A device
// that has obeyed makes no connection any more, and only people at the device can switch it
// on again; taking back helps as long as it has not.
func (d *Director) Cloud(ctx context.Context, tenant, device string, off bool) error {
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		dev, err := d.own(tx, tenant, device)
		if err != nil || dev.CloudOff == off {
			return err
		}
		if !dev.Revoked.IsZero() {
			return refuse(wire.CodeConflict, "device %s was revoked", device)
		}
		if err := tx.SetCloudOff(device, off); err != nil {
			return err
		}
		// A rollout that holds the device lets it go, and its direction must not come after
		// ours: so it hears of this with the version of this.
		if err := d.changed(tx, dev.Tenant, device); err != nil {
			return err
		}
		if err := withdraw(tx); err != nil { // connections that are open are looked at again
			return err
		}
		w := direction.Direction{}
		if off {
			w = direction.Direction{Offline: true, Update: uuid.NewString()}
		}
		return d.issueWord(tx, dev, w)
	})
	if err != nil {
		return err
	}
	d.stir()
	d.told(device)
	return nil
}

// own is a device of the tenant; any device's where tenant is empty.
func (d *Director) own(tx *store.Tx, tenant, device string) (store.Device, error) {
	dev, err := tx.Device(device)
	if err == nil && tenant != "" && dev.Tenant != tenant {
		err = store.ErrNotFound
	}
	if err != nil {
		return dev, notFound(err, "device %s does not exist", device)
	}
	return dev, nil
}

// cloudFollows notes what a device says of its cloud connection: that it has obeyed, or that
// it was switched on again there, which shows in a report after the order was accepted.
func (d *Director) cloudFollows(tx *store.Tx, dev store.Device, r wire.Reported) error {
	if dev.CloudOff == r.Offline {
		return nil
	}
	if r.Offline {
		return tx.SetCloudOff(dev.ID, true)
	}
	stored, err := tx.Direction(dev.ID)
	if isNotFound(err) || err == nil && r.Direction < stored.Version {
		return nil // it has not heard of the order yet
	}
	if err != nil {
		return fmt.Errorf("direction of device %s: %w", dev.ID, err)
	}
	return tx.SetCloudOff(dev.ID, false)
}
