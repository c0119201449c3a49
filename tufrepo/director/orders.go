package director

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// What operators ask of a rollout. Each returns how the rollout stands after it; an error of
// type *Error, CodeConflict, says why it cannot be.

// PauseRollout begins nothing more until ResumeRollout; updates under way go on.
func (d *Director) PauseRollout(ctx context.Context, tenant, id, reason string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: notePause, Reason: reason})
}

// ResumeRollout goes on. After a pause by itself the brake counts anew.
func (d *Director) ResumeRollout(ctx context.Context, tenant, id string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteResume})
}

// AbortRollout ends it. What has not come to the reboot is taken back.
func (d *Director) AbortRollout(ctx context.Context, tenant, id, reason string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteAbort, Reason: reason})
}

// RollBackRollout takes the devices that were updated to the fallback.
func (d *Director) RollBackRollout(ctx context.Context, tenant, id, reason string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteRollBack, Reason: reason})
}

// RetryRollout lets devices that failed, fell silent or declined try again; all of them if
// none is named.
func (d *Director) RetryRollout(ctx context.Context, tenant, id string, devices []string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteRetry, Devices: devices})
}

// ApproveRollout gives the approval that the current phase waits for.
func (d *Director) ApproveRollout(ctx context.Context, tenant, id, phase string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteApprove, Phase: phase})
}

// AdvanceRollout ends the current phase whatever it waits for.
func (d *Director) AdvanceRollout(ctx context.Context, tenant, id, phase string) (Rollout, error) {
	return d.order(ctx, tenant, id, note{Type: noteAdvance, Phase: phase})
}

func (d *Director) order(ctx context.Context, tenant, id string, n note) (Rollout, error) {
	if _, err := d.Rollout(ctx, tenant, id); err != nil {
		return Rollout{}, err
	}
	n.Reason = wire.Text(n.Reason)
	_, err := d.turn(ctx, id, &n)
	if errors.Is(err, errElsewhere) {
		err = d.pass(ctx, id, n)
	}
	if err != nil {
		return Rollout{}, err
	}
	d.nudge()
	d.Log.Info("rollout ordered", "rollout", id, "tenant", tenant, "order", n.Type, "phase", n.Phase, "reason", n.Reason, "devices", len(n.Devices))
	return d.Rollout(ctx, tenant, id)
}

// pass leaves an order to the director that has the rollout, after a look whether it can be.
func (d *Director) pass(ctx context.Context, id string, n note) error {
	err := d.Store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.Rollout(id)
		if err != nil {
			return err
		}
		var m mind // not the one that turns are taken with
		if err := m.load(tx, row, d.Clock()); err != nil {
			return err
		}
		if err := m.engine.Apply(d.Clock(), n.command()); err != nil {
			return refuse(wire.CodeConflict, "%v", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return d.put(tx, id, n) })
}
