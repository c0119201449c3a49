package director

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Releases is the image repository as a director sees it.
type Releases interface {
	// Release returns a release that the repository vouches for now, from metadata
	// whose signatures were verified. An *Error with CodeNotFound where there is none.
	Release(ctx context.Context, product, version string) (Release, error)
}

// Release is a published release.
type Release struct {
	Target   direction.Target
	Manifest *firmware.Manifest
}

// Order is what an operator asks for.
type Order struct {
	Tenant  string   `json:"tenant"`
	Product string   `json:"product,omitempty"` // empty, with Version: nothing
	Version string   `json:"version,omitempty"`
	Devices []string `json:"devices,omitempty"`
	All     bool     `json:"all,omitempty"` // of the tenant that have the product
	// Force directs even what the director believes the device will refuse. The
	// device still decides.
	Force bool `json:"force,omitempty"`
}

// Outcome is what became of an order for one device.
type Outcome struct {
	Device  string `json:"device"`
	Serial  string `json:"serial,omitempty"`
	Update  string `json:"update,omitempty"`
	Version int64  `json:"version,omitempty"` // of the direction
	Refused string `json:"refused,omitempty"` // empty, or a word: see refusal
	Detail  string `json:"detail,omitempty"`
}

// Words of Outcome.Refused.
const (
	RefusedNotFound = "not_found"
	RefusedRevoked  = "revoked"
	RefusedProduct  = "wrong_product"
	RefusedHardware = "wrong_hardware"
	RefusedOlder    = "older_release"
	RefusedAgent    = "agent_too_old"
	RefusedRollout  = "in_rollout" // a rollout has asked or directed it
)

// Direct carries out an order and says for each device what became of it. An error means
// that nothing more than the outcomes returned with it was done.
func (d *Director) Direct(ctx context.Context, o Order) ([]Outcome, error) {
	if o.All == (len(o.Devices) > 0) {
		return nil, refuse(wire.CodeBadRequest, "name devices or ask for all of them, one of both")
	}
	var release *Release
	if o.Product != "" || o.Version != "" {
		r, err := d.Releases.Release(ctx, o.Product, o.Version)
		if err != nil {
			return nil, err
		}
		release = &r
	}
	ids, err := d.addressees(ctx, o)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64) // enough to fill the writer's batches
	for i, id := range ids {
		g.Go(func() (err error) {
			out[i], err = d.directOne(ctx, o, id, release)
			return err
		})
	}
	err = g.Wait()
	d.Log.Info("release directed", "tenant", o.Tenant, "product", o.Product, "version", o.Version, "devices", len(ids), "force", o.Force, "error", err)
	return out, err
}

// addressees lists the devices of an order.
func (d *Director) addressees(ctx context.Context, o Order) (ids []string, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.Tenant(o.Tenant); err != nil {
			return notFound(err, "tenant %s does not exist", o.Tenant)
		}
		if !o.All {
			ids = o.Devices
			return nil
		}
		for after := ""; ; {
			page, err := tx.Devices(store.DeviceQuery{Tenant: o.Tenant, After: after})
			if err != nil || len(page) == 0 {
				return err
			}
			after = page[len(page)-1].ID
			for _, dev := range page {
				if o.Product == "" || dev.Product == o.Product || o.Force {
					ids = append(ids, dev.ID)
				}
			}
		}
	})
	return ids, err
}

// directOne directs one device, in a transaction of its own.
func (d *Director) directOne(ctx context.Context, o Order, id string, r *Release) (Outcome, error) {
	out := Outcome{Device: id}
	err := d.Store.Update(ctx, func(tx *store.Tx) error {
		out = Outcome{Device: id}
		dev, err := tx.Device(id)
		if errors.Is(err, store.ErrNotFound) || err == nil && dev.Tenant != o.Tenant {
			out.Refused, out.Detail = RefusedNotFound, fmt.Sprintf("tenant %s has no device %s", o.Tenant, id)
			return nil
		}
		if err != nil {
			return err
		}
		out.Serial = dev.Serial
		if out.Refused, out.Detail = refusal(dev, r, o.Force); out.Refused != "" {
			return nil
		}
		if holder, err := tx.Holder(id); !o.Force && err == nil {
			out.Refused, out.Detail = RefusedRollout, fmt.Sprintf("rollout %s has the device: pause or abort it, or force this", holder)
			return nil
		} else if err != nil && !isNotFound(err) {
			return err
		}
		return d.begin(tx, dev, r, &out)
	})
	if err != nil {
		return out, fmt.Errorf("directing device %s: %w", id, err)
	}
	if out.Refused == "" {
		d.told(id)
	}
	return out, nil
}

// begin stores the update and issues the direction for it.
func (d *Director) begin(tx *store.Tx, dev store.Device, r *Release, out *Outcome) error {
	var target *direction.Target
	if r != nil {
		t := r.Target
		target, out.Update = &t, uuid.NewString()
		if err := tx.AddUpdate(store.Update{ID: out.Update, Device: dev.ID, Product: r.Manifest.Product, Previous: dev.Version,
			Version: r.Manifest.Version, State: string(wire.Idle), Created: d.Clock()}); err != nil {
			return err
		}
	}
	if err := d.issue(tx, dev, out.Update, target); err != nil {
		return err
	}
	now, err := tx.Direction(dev.ID)
	out.Version = now.Version
	return err
}

// refusal says why a device would refuse a release, as far as the director knows.
// Force overrides everything but a device that is gone.
func refusal(dev store.Device, r *Release, force bool) (word, detail string) {
	if !dev.Revoked.IsZero() {
		return RefusedRevoked, "the device was revoked"
	}
	if r == nil || force {
		return "", ""
	}
	m := r.Manifest
	switch {
	case dev.Product != m.Product:
		return RefusedProduct, fmt.Sprintf("the device runs %s, the release is for %s", dev.Product, m.Product)
	case !m.Fits(dev.Hardware):
		return RefusedHardware, fmt.Sprintf("the device is %s, the release is for %v", dev.Hardware, m.Hardware)
	case m.Counter < dev.Counter:
		return RefusedOlder, fmt.Sprintf("the device is at release counter %d, the release has %d", dev.Counter, m.Counter)
	}
	if m.MinAgent != "" && dev.Agent != "" {
		if ok, err := firmware.AgentAtLeast(dev.Agent, m.MinAgent); err == nil && !ok {
			return RefusedAgent, fmt.Sprintf("the device has agent %s, the release needs %s", dev.Agent, m.MinAgent)
		}
	}
	return "", ""
}
