package director

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// maxAssigned is the most devices that one order puts into a group.
const maxAssigned = 10_000

// Groups returns a tenant's groups by path.
func (d *Director) Groups(ctx context.Context, tenant string) (all []store.Group, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.Tenant(tenant); err != nil {
			return notFound(err, "tenant %s does not exist", tenant)
		}
		all, err = tx.Groups(tenant)
		return err
	})
	return all, err
}

// AddGroup makes a group and those above it.
func (d *Director) AddGroup(ctx context.Context, tenant, path string) error {
	return d.changeGroup(ctx, tenant, path, func(tx *store.Tx) error { return tx.AddGroup(tenant, path, d.Clock()) })
}

// MoveGroup gives a group, with all that is below it, another path.
func (d *Director) MoveGroup(ctx context.Context, tenant, path, to string) error {
	if err := store.CheckGroup(to); err != nil {
		return refuse(wire.CodeBadRequest, "%v", err)
	}
	return d.changeGroup(ctx, tenant, path, func(tx *store.Tx) error { return tx.MoveGroup(tenant, path, to, d.Clock()) })
}

// RemoveGroup removes a group that is empty.
func (d *Director) RemoveGroup(ctx context.Context, tenant, path string) error {
	return d.changeGroup(ctx, tenant, path, func(tx *store.Tx) error { return tx.RemoveGroup(tenant, path) })
}

func (d *Director) changeGroup(ctx context.Context, tenant, path string, change func(tx *store.Tx) error) error {
	if err := store.CheckGroup(path); err != nil {
		return refuse(wire.CodeBadRequest, "%v", err)
	}
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if _, err := tx.Tenant(tenant); err != nil {
			return notFound(err, "tenant %s does not exist", tenant)
		}
		return change(tx)
	})
	if errors.Is(err, store.ErrConflict) {
		return refuse(wire.CodeConflict, "%v", err)
	}
	return notFound(err, "tenant %s has no group %s", tenant, path)
}

// AssignGroup puts devices into a group, which is made if it is new; with an empty path they
// are in none. All of them or, with an error, none.
func (d *Director) AssignGroup(ctx context.Context, tenant, path string, devices []string) error {
	if path != "" {
		if err := store.CheckGroup(path); err != nil {
			return refuse(wire.CodeBadRequest, "%v", err)
		}
	}
	if len(devices) == 0 || len(devices) > maxAssigned {
		return refuse(wire.CodeBadRequest, "name 1 to %d devices", maxAssigned)
	}
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		for _, id := range devices {
			if _, err := d.own(tx, tenant, id); err != nil {
				return err
			}
			if err := tx.SetGroup(id, path, d.Clock()); err != nil {
				return fmt.Errorf("group of device %s: %w", id, err)
			}
			if err := d.changed(tx, tenant, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		d.stir()
	}
	return err
}

// EditDevice changes what people note of a device: its time zone, if zone is not nil, and
// single attributes, of which an empty text removes one.
func (d *Director) EditDevice(ctx context.Context, tenant, device string, zone *string, attributes map[string]string) error {
	if zone != nil {
		if _, err := time.LoadLocation(*zone); err != nil || *zone == "Local" {
			return refuse(wire.CodeBadRequest, "%.64q is not a time zone like \"Europe/Berlin\"", *zone)
		}
	}
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		dev, err := d.own(tx, tenant, device)
		if err != nil {
			return err
		}
		if err := setAttributes(tx, dev, attributes); err != nil || zone == nil {
			return err
		}
		if err := tx.SetZone(device, *zone); err != nil {
			return err
		}
		return d.changed(tx, dev.Tenant, device)
	})
	if err == nil {
		d.stir()
	}
	return err
}

// maxAttribute is the longest name or text of an attribute, in bytes.
const maxAttribute = 256

func setAttributes(tx *store.Tx, dev store.Device, change map[string]string) error {
	if len(change) == 0 {
		return nil
	}
	all := maps.Clone(dev.Attributes)
	size := 0
	for name, text := range change {
		if name == "" || len(name) > maxAttribute || len(text) > maxAttribute || wire.Text(name) != name || wire.Text(text) != text {
			return refuse(wire.CodeBadRequest, "attribute %.40q: name and text are one line of at most %d bytes", name, maxAttribute)
		}
		if text == "" {
			delete(all, name)
		} else {
			all[name] = text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		size += len(name) + len(all[name]) + len(`"":"",`)
	}
	if size > store.MaxAttributes {
		return refuse(wire.CodeBadRequest, "the attributes of device %s take %d bytes, more than %d", dev.ID, size, store.MaxAttributes)
	}
	return tx.SetAttributes(dev.ID, all)
}
