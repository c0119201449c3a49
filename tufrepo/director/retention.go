package director

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Bounds of settings, in days.
const (
	maxDays      = 3650
	minAuditDays = 30
	day          = 24 * time.Hour
)

// Settings returns a tenant's settings.
func (d *Director) Settings(ctx context.Context, tenant string) (out store.Settings, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		if err := hasTenant(tx, tenant); err != nil {
			return err
		}
		out, err = tx.Settings(tenant)
		return err
	})
	return out, err
}

// ChangeSettings changes a tenant's settings and returns them as they are then.
func (d *Director) ChangeSettings(ctx context.Context, tenant string, change func(*store.Settings)) (out store.Settings, err error) {
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := hasTenant(tx, tenant); err != nil {
			return err
		}
		if out, err = tx.Settings(tenant); err != nil {
			return err
		}
		before := out
		change(&out)
		if err := checkSettings(out); err != nil {
			return err
		}
		auditlog.Of(ctx).Tell("tenant/"+tenant, map[string]store.Settings{"before": before, "after": out})
		return tx.SetSettings(tenant, out)
	})
	return out, err
}

func checkSettings(s store.Settings) error {
	for _, one := range []struct {
		name        string
		days, least int64
	}{{"device", s.DeviceDays, 1}, {"audit", s.AuditDays, minAuditDays}} {
		if one.days < one.least || one.days > maxDays {
			return refuse(wire.CodeBadRequest, "%s days are %d to %d, not %d", one.name, one.least, maxDays, one.days)
		}
	}
	return nil
}

// Retain removes what is older than the tenants' settings say.
func (d *Director) Retain(ctx context.Context) error {
	var tenants []store.Tenant
	if err := d.Store.View(ctx, func(tx *store.Tx) (err error) { tenants, err = tx.Tenants(); return err }); err != nil {
		return err
	}
	var errs []error
	for _, t := range tenants {
		if err := d.retain(ctx, t.Name); err != nil {
			errs = append(errs, fmt.Errorf("removing old data of tenant %s: %w", t.Name, err))
		}
	}
	err := d.Store.Update(ctx, func(tx *store.Tx) error { return d.retainAudit(tx, "", store.DefaultSettings().AuditDays) })
	return errors.Join(append(errs, err)...)
}

func (d *Director) retain(ctx context.Context, tenant string) error {
	s, err := d.Settings(ctx, tenant)
	if err != nil {
		return err
	}
	before := d.now().Add(-time.Duration(s.DeviceDays) * day)
	rows, err := d.Store.PruneDeviceData(ctx, tenant, before)
	if err != nil {
		return err
	}
	return d.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.PruneRollouts(tenant, before); err != nil {
			return err
		}
		if err := tx.PruneCodes(tenant, before); err != nil {
			return err
		}
		if err := d.retainAudit(tx, tenant, s.AuditDays); err != nil || rows == 0 {
			return err
		}
		return auditlog.Append(tx, tenant, d.byItself(audit.RetentionPurge, "tenant/"+tenant, map[string]any{"rows": rows, "before": before}))
	})
}

// retainAudit removes entries up to the newest head that was signed before the days to keep:
// the rest is proven from there on.
func (d *Director) retainAudit(tx *store.Tx, tenant string, days int64) error {
	keep := string(audit.DayOf(d.now().Add(-time.Duration(days) * day)))
	start, _, err := tx.AuditStart(tenant)
	if err != nil {
		return err
	}
	upto := int64(0)
	for from := ""; ; {
		heads, err := tx.AuditHeads(tenant, from, 0)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if h.Day < keep {
				upto = max(upto, h.Seq)
			}
			from = h.Day + "~" // behind this day
		}
		if len(heads) == 0 || heads[len(heads)-1].Day >= keep {
			break
		}
	}
	if upto <= start {
		return nil
	}
	if err := tx.PruneAudit(tenant, upto+1); err != nil {
		return err
	}
	return auditlog.Append(tx, tenant, d.byItself(audit.AuditPrune, "", map[string]any{"up_to": upto, "before": keep}))
}

// byItself is an entry of the audit log about what the service does by itself.
func (d *Director) byItself(a audit.Action, object string, detail any) audit.Entry {
	return audit.Entry{Time: d.now(), Action: a, Outcome: audit.OK, Actor: audit.Actor{Kind: audit.System, ID: "director"},
		Object: object, Detail: auditlog.Detail(detail)}
}

// RetentionLoop calls Retain at the start and then every so often until ctx ends.
func (d *Director) RetentionLoop(ctx context.Context, every time.Duration) error {
	return loop(ctx, every, func() {
		if err := d.Retain(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error("old data is not removed", "error", err)
		}
	})
}

// Purge removes a tenant with everything that is known of it, its keys and its audit chain
// included. Interrupted, it is to be called again.
func (d *Director) Purge(ctx context.Context, tenant string) error {
	d.tenants.Lock()
	defer d.tenants.Unlock()
	// Nobody comes in any more while the rows go.
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := hasTenant(tx, tenant); err != nil {
			return err
		}
		if err := tx.SetPolicy(tenant, []byte(`{"ways":[]}`), d.Clock()); err != nil {
			return err
		}
		return withdraw(tx)
	})
	if err != nil {
		return err
	}
	if err := d.Store.PurgeTenant(ctx, tenant); err != nil {
		return err
	}
	if err := d.Store.Update(ctx, withdraw); err != nil {
		return err
	}
	d.signing.Lock()
	delete(d.signers, tenant)
	d.signing.Unlock()
	d.Log.Warn("tenant purged", "tenant", tenant)
	return d.removeKeys(tenant)
}

func (d *Director) removeKeys(tenant string) error {
	names, err := filepath.Glob(filepath.Join(d.Keys, tenant+".*.key")) // names of tenants have no special characters
	if err != nil {
		return err
	}
	for _, path := range names {
		if strings.Count(filepath.Base(path), ".") != 2 {
			continue
		}
		if err := durable.Remove(path); err != nil {
			return fmt.Errorf("removing the online keys of tenant %s: %w", tenant, err)
		}
	}
	return nil
}
