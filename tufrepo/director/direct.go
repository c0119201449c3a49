package director

import (
	"context"
	"fmt"

	"github.com/google/uuid"

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
	out := make([]Outcome, 0, len(ids))
	for len(ids) > 0 && err == nil {
		n := min(len(ids), directBatch)
		var some []Outcome
		some, err = d.directSome(ctx, o, ids[:n], release)
		out, ids = append(out, some...), ids[n:]
	}
	d.Log.Info("release directed", "tenant", o.Tenant, "product", o.Product, "version", o.Version, "devices", len(out), "force", o.Force, "error", err)
	return out, err
}

// directBatch is how many devices are directed in one transaction.
const directBatch = 250

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

// directSome directs a few devices in one transaction.
func (d *Director) directSome(ctx context.Context, o Order, ids []string, r *Release) (out []Outcome, err error) {
	err = d.Store.Update(ctx, func(tx *store.Tx) error {
		members, err := tx.Members(ids)
		if err != nil {
			return err
		}
		holders, err := tx.Holders(ids)
		if err != nil {
			return err
		}
		out = make([]Outcome, len(ids))
		var words []direction.Direction
		var which []int // the outcome that each is for
		for i, id := range ids {
			m, known := members[id]
			out[i] = o.judge(id, m, known, holders[id], r)
			if out[i].Refused != "" {
				continue
			}
			w, err := d.begin(tx, m, r)
			if err != nil {
				return fmt.Errorf("directing device %s: %w", id, err)
			}
			out[i].Update = w.Update
			words, which = append(words, w), append(which, i)
		}
		if len(words) == 0 {
			return nil
		}
		if err := d.issueMany(tx, o.Tenant, words, members); err != nil {
			return err
		}
		for i, w := range words {
			out[which[i]].Version = w.Version
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, one := range out {
		if one.Refused == "" {
			d.told(one.Device)
		}
	}
	return out, nil
}

// judge says what stands in the way of directing a device.
func (o Order) judge(id string, m store.Member, known bool, holder string, r *Release) Outcome {
	out := Outcome{Device: id, Serial: m.Serial}
	switch {
	case !known || m.Tenant != o.Tenant:
		return Outcome{Device: id, Refused: RefusedNotFound, Detail: fmt.Sprintf("tenant %s has no device %s", o.Tenant, id)}
	case holder != "" && !o.Force:
		out.Refused, out.Detail = RefusedRollout, fmt.Sprintf("rollout %s has the device: pause or abort it, or force this", holder)
	}
	if word, detail := refusal(m, r, o.Force); word != "" {
		out.Refused, out.Detail = word, detail
	}
	return out
}

// begin stores the update that a device is to begin, and returns its direction, without version and dates.
func (d *Director) begin(tx *store.Tx, m store.Member, r *Release) (direction.Direction, error) {
	w := direction.Direction{Tenant: m.Tenant, Device: m.ID, Hardware: m.Hardware}
	if r == nil {
		return w, nil
	}
	target := r.Target
	w.Target, w.Update = &target, uuid.NewString()
	return w, tx.AddUpdate(store.Update{ID: w.Update, Device: m.ID, Product: r.Manifest.Product, Previous: m.Version,
		Version: r.Manifest.Version, State: string(wire.Idle), Created: d.Clock()})
}

// refusal says why a device would refuse a release, as far as the director knows.
// Force overrides everything but a device that is gone.
func refusal(dev store.Member, r *Release, force bool) (word, detail string) {
	if dev.Revoked {
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
