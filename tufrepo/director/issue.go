package director

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// maxAccepted is the highest direction version that is believed of a device. A device
// that claims more has only spoilt its own numbers.
const maxAccepted = 1 << 52

// nextVersion is the version of a device's next direction.
func nextVersion(stored, accepted int64) int64 {
	if accepted > stored && accepted < maxAccepted {
		return accepted + 1
	}
	return stored + 1
}

// issue signs and stores the next direction of a device: begin at once, or nothing.
func (d *Director) issue(tx *store.Tx, dev store.Device, update string, target *direction.Target) error {
	return d.issueWord(tx, dev, direction.Direction{Update: update, Target: target})
}

// issueWord signs and stores the next direction of a device. w says what it asks for; who
// it is for, version and dates are filled in.
func (d *Director) issueWord(tx *store.Tx, dev store.Device, w direction.Direction) error {
	prev, err := tx.Direction(dev.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s, err := d.signer(tx, dev.Tenant)
	if err != nil {
		return err
	}
	now := d.Clock().UTC().Truncate(time.Second)
	w.Tenant, w.Device, w.Hardware = dev.Tenant, dev.ID, dev.Hardware
	w.Version, w.Issued, w.Expires = nextVersion(prev.Version, dev.Accepted), now, now.Add(Lifetime)
	raw, err := direction.Sign(w, s)
	if err != nil {
		return err
	}
	if err := tx.SetDirection(store.Direction{Device: dev.ID, Version: w.Version, Issued: w.Issued, Expires: w.Expires, Raw: raw}); err != nil {
		return fmt.Errorf("storing direction %d of device %s: %w", w.Version, dev.ID, err)
	}
	d.stats.Directions.Add(1)
	return nil
}

// signer is the online key that the newest root of a tenant names.
func (d *Director) signer(tx *store.Tx, tenant string) (direction.Signer, error) {
	if err := d.guard(); err != nil {
		return nil, err
	}
	raw, err := tx.Root(tenant, 0)
	if err != nil {
		return nil, fmt.Errorf("director root of tenant %s: %w", tenant, err)
	}
	d.signing.Lock()
	defer d.signing.Unlock()
	if s, ok := d.signers[tenant]; ok && s.root == string(raw) {
		return s, nil
	}
	root, err := bundle.Parse[metadata.RootType](raw)
	if err != nil {
		return nil, fmt.Errorf("director root of tenant %s: %w", tenant, err)
	}
	keys, err := d.keys(tenant)
	if err != nil {
		return nil, err
	}
	for i := len(keys) - 1; i >= 0; i-- {
		if named(root, keys[i]) {
			d.signers[tenant] = signer{keys[i], string(raw)}
			return keys[i], nil
		}
	}
	return nil, fmt.Errorf("no online key of tenant %s is named by its root: restore %s from the backup", tenant, d.Keys)
}

// Direction returns the newest direction of a device as it was signed.
// store.ErrNotFound where it has none.
func (d *Director) Direction(ctx context.Context, device string) (raw []byte, version int64, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		dir, err := tx.Direction(device)
		raw, version = dir.Raw, dir.Version
		return err
	})
	return raw, version, err
}

// reissueBatch bounds one look into the database.
const reissueBatch = 500

// Reissue signs anew every direction that has lived half its life, and returns how many.
func (d *Director) Reissue(ctx context.Context) (int, error) {
	for n := 0; ; {
		due := d.Clock().Add(-Lifetime / 2)
		var ids []string
		err := d.Store.View(ctx, func(tx *store.Tx) (err error) {
			ids, err = tx.DirectionsIssuedBefore(due, reissueBatch)
			return err
		})
		if err != nil || len(ids) == 0 {
			return n, err
		}
		for _, id := range ids {
			if err := d.reissueOne(ctx, id, due); err != nil {
				return n, fmt.Errorf("issuing the direction of device %s anew: %w", id, err)
			}
			d.told(id)
			n++
		}
	}
}

func (d *Director) reissueOne(ctx context.Context, id string, due time.Time) error {
	return d.Store.Update(ctx, func(tx *store.Tx) error {
		prev, err := tx.Direction(id)
		if err != nil || !prev.Issued.Before(due) {
			return err // another one came in between
		}
		dev, err := tx.Device(id)
		if err != nil {
			return err
		}
		return d.repeat(tx, dev, prev)
	})
}

// repeat issues what prev says under a new version: the same update on the same terms, which
// a device that has ended it does not begin again.
func (d *Director) repeat(tx *store.Tx, dev store.Device, prev store.Direction) error {
	old, err := direction.Unverified(prev.Raw) // our own bytes, from our own database
	if err != nil {
		return err
	}
	return d.issueWord(tx, dev, old)
}

// ReissueLoop calls Reissue now and then, and after a new root, until ctx ends. One tenant's trouble is logged and tried again.
func (d *Director) ReissueLoop(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if n, err := d.Reissue(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error("directions are not issued anew", "error", err)
		} else if n > 0 {
			d.Log.Info("directions issued anew", "devices", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-d.again:
		}
	}
}
