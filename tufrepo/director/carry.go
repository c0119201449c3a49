package director

import (
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// withdrawn is the reason of an update that was taken back before its device had said
// anything of it.
const withdrawn = "withdrawn"

// carry writes the directions and updates that follow from the actions: for each device the
// last of its actions is its direction.
func (t *turn) carry(tx *store.Tx) error {
	last, ids := map[string]rollout.Action{}, []string(nil)
	for _, a := range t.actions {
		if a.Device == "" {
			continue
		}
		if _, again := last[a.Device]; !again {
			ids = append(ids, a.Device)
		}
		last[a.Device] = a
	}
	if len(ids) == 0 {
		return nil
	}
	members, err := tx.Members(ids)
	if err != nil {
		return err
	}
	for _, a := range t.actions {
		if m, ok := members[a.Device]; ok {
			if err := t.update(tx, a, m); err != nil {
				return err
			}
		}
	}
	words := make([]direction.Direction, 0, len(ids))
	for _, id := range ids {
		m, ok := members[id]
		if !ok || m.CloudOff && last[id].Op == rollout.OpWithdraw {
			continue // it is gone, or has the order to go offline in the place of what is taken back
		}
		words = append(words, t.word(last[id], m))
		t.told = append(t.told, id)
	}
	return t.d.issueMany(tx, t.row.Tenant, words, members)
}

// update stores the update that begins, or ends one that was taken back unseen.
func (t *turn) update(tx *store.Tx, a rollout.Action, m store.Member) error {
	switch a.Op {
	case rollout.OpDirect, rollout.OpRollBack:
		to := t.release(a)
		return tx.AddUpdate(store.Update{ID: a.Update, Device: m.ID, Product: to.Product, Previous: m.Version, Version: to.Version,
			State: string(wire.Idle), Created: t.now})
	case rollout.OpWithdraw:
		u, err := tx.Update(a.Update)
		if isNotFound(err) || err == nil && u.State != string(wire.Idle) {
			return nil
		}
		if err != nil {
			return err
		}
		u.State, u.Reason, u.Changed = string(wire.Failed), withdrawn, t.now
		return tx.SetUpdate(u)
	}
	return nil
}

func (t *turn) release(a rollout.Action) pinned {
	if a.Op == rollout.OpRollBack {
		return *t.m.setup.Fallback
	}
	return t.m.setup.Release
}

// word is an action as a direction, without version and dates.
func (t *turn) word(a rollout.Action, m store.Member) direction.Direction {
	w := direction.Direction{Tenant: m.Tenant, Device: m.ID, Hardware: m.Hardware}
	if a.Op == rollout.OpWithdraw {
		return w
	}
	w.Update, w.Target, w.Until = a.Update, t.release(a).target(), a.Until
	switch {
	case a.Op == rollout.OpAsk:
		w.Kind, w.DeferUntil = direction.Ask, t.deferUntil(m.ID)
	case a.Kind == rollout.Soft:
		w.Kind, w.DeferUntil = direction.Soft, t.deferUntil(m.ID)
	case a.Kind == rollout.DownloadOnly:
		w.Kind = direction.DownloadOnly
	} // a forced one says nothing: agents of every age know that
	return w
}

// deferUntil is the latest moment to which people may put an update off.
func (t *turn) deferUntil(device string) time.Time {
	r, _ := t.engine.Row(device) // it has just had an action
	return time.Unix(r.First, 0).UTC().Add(time.Duration(t.m.plan.Consent.Longest))
}

// issueMany signs and stores the next direction of each device that words name, of one
// tenant, and fills in their versions and dates. Signing is what it takes longest, so all processors do it.
func (d *Director) issueMany(tx *store.Tx, tenant string, words []direction.Direction, members map[string]store.Member) error {
	ids := make([]string, len(words))
	for i, w := range words {
		ids[i] = w.Device
	}
	versions, err := tx.DirectionVersions(ids)
	if err != nil {
		return err
	}
	key, err := d.signer(tx, tenant)
	if err != nil {
		return err
	}
	now := d.Clock().UTC().Truncate(time.Second)
	out := make([]store.Direction, len(words))
	var g errgroup.Group
	parts := runtime.GOMAXPROCS(0)
	for part := range parts {
		g.Go(func() error {
			for i := part; i < len(words); i += parts {
				w := &words[i]
				w.Version, w.Issued, w.Expires = nextVersion(versions[w.Device], members[w.Device].Accepted), now, now.Add(Lifetime)
				raw, err := direction.Sign(*w, key)
				if err != nil {
					return err
				}
				out[i] = store.Direction{Device: w.Device, Version: w.Version, Issued: now, Expires: w.Expires, Raw: raw}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := tx.SetDirections(out); err != nil {
		return err
	}
	d.stats.Directions.Add(int64(len(out)))
	return nil
}
