package director

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Rollout is how a rollout stands, for people.
type Rollout struct {
	ID, Tenant       string
	Product, Version string
	Fallback         string
	Created          time.Time
	Creator          string
	Plan             []byte // as it was written
	Status           rollout.Status
	Next             time.Time // when it goes on by itself at the latest; zero: when something happens
	Finished         time.Time
	Reasons          []store.ReasonCount // why devices failed or are left out, the most frequent first
}

func rolloutOut(row store.Rollout) (Rollout, error) {
	s, _, err := readSetup(row)
	if err != nil {
		return Rollout{}, err
	}
	stands, err := readStanding(row)
	out := Rollout{ID: row.ID, Tenant: row.Tenant, Product: s.Release.Product, Version: s.Release.Version, Created: row.Created,
		Creator: row.Creator, Plan: row.Spec, Status: stands.Status, Next: row.Next, Finished: row.Finished}
	if s.Fallback != nil {
		out.Fallback = s.Fallback.Version
	}
	return out, err
}

// Rollout returns one rollout of a tenant.
func (d *Director) Rollout(ctx context.Context, tenant, id string) (out Rollout, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		row, err := ownRollout(tx, tenant, id)
		if err != nil {
			return err
		}
		if out, err = rolloutOut(row); err != nil {
			return err
		}
		out.Reasons, err = tx.RolloutReasons(id)
		return err
	})
	return out, err
}

func ownRollout(tx *store.Tx, tenant, id string) (store.Rollout, error) {
	row, err := tx.Rollout(id)
	if err == nil && row.Tenant != tenant {
		err = store.ErrNotFound
	}
	return row, notFound(err, "tenant %s has no rollout %s", tenant, id)
}

// Rollouts returns rollouts, the newest first, without Reasons.
func (d *Director) Rollouts(ctx context.Context, q store.RolloutQuery) (out []Rollout, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Rollouts(q)
		for _, row := range rows {
			one, err := rolloutOut(row)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return err
	})
	return out, err
}

// RolloutDevice is a device's part in a rollout, for people.
type RolloutDevice struct {
	store.RolloutRow
	Phase  string // its name; empty for none
	Serial string
	Update store.Update // of its last attempt; its ID is empty where there is none
}

// RolloutDevices returns a page of a rollout's devices, by id.
func (d *Director) RolloutDevices(ctx context.Context, tenant string, q store.RowQuery) (out []RolloutDevice, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		row, err := ownRollout(tx, tenant, q.Rollout)
		if err != nil {
			return err
		}
		_, plan, err := readSetup(row)
		if err != nil {
			return err
		}
		rows, err := tx.RolloutRows(q)
		for _, r := range rows {
			one, err := rolloutDevice(tx, q.Rollout, plan, r)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return err
	})
	return out, err
}

func rolloutDevice(tx *store.Tx, id string, plan rollout.Spec, r store.RolloutRow) (RolloutDevice, error) {
	out := RolloutDevice{RolloutRow: r}
	if r.Phase >= 0 && r.Phase < len(plan.Phases) {
		out.Phase = plan.Phases[r.Phase].Name
	}
	dev, err := tx.Device(r.Device)
	if err != nil {
		return out, err
	}
	out.Serial = dev.Serial
	if r.Attempt == 0 {
		return out, nil
	}
	u, err := tx.Update(rollout.UpdateName(id, r.Device, r.Attempt))
	if err != nil && !isNotFound(err) {
		return out, fmt.Errorf("update of device %s: %w", r.Device, err)
	}
	out.Update = u
	return out, nil
}
