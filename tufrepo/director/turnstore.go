package director

import (
	"encoding/json"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// store writes what has changed, and when the next turn is due.
func (t *turn) store(tx *store.Tx, next time.Time) error {
	head, changed, rows := t.engine.Changes()
	status := t.engine.Status()
	t.number = t.m.turn
	if t.more {
		next = t.now
	}
	if busy(status) > 0 && (next.IsZero() || next.After(t.now.Add(askEvery))) {
		next = t.now.Add(askEvery)
	}
	if !next.After(t.now) && !next.IsZero() {
		t.more = true
	}
	if !changed && len(rows) == 0 && sameSecond(t.row.Next, next) {
		return nil
	}
	t.number++
	if err := tx.SetRolloutRows(t.id, toRows(rows)); err != nil {
		return err
	}
	if err := t.tellOthers(tx, rows); err != nil {
		return err
	}
	return t.setRow(tx, standing{head, t.number, status}, next)
}

func sameSecond(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && a.Unix() == b.Unix()
}

func (t *turn) setRow(tx *store.Tx, s standing, next time.Time) (err error) {
	if t.row.Head, err = json.Marshal(s); err != nil {
		return err
	}
	t.row.Run, t.row.Next = string(s.Run), next
	switch over := isOver(s.Run); {
	case !over:
		t.row.Finished = time.Time{}
	case t.row.Finished.IsZero():
		t.row.Finished = t.now
	}
	return tx.SetRollout(t.row)
}

func isOver(r rollout.Run) bool {
	return r == rollout.Finished || r == rollout.Aborted || r == rollout.RolledBack
}

// tellOthers tells the other rollouts of devices that this one holds now, or holds no more.
func (t *turn) tellOthers(tx *store.Tx, rows []rollout.Row) error {
	var ids []string
	for _, r := range rows {
		if holds := r.State.Holds(); holds != t.m.held[r.Device] {
			t.held[r.Device] = holds
			ids = append(ids, r.Device)
		}
	}
	if open, err := tx.OpenRollouts(t.row.Tenant); err != nil || len(ids) == 0 || len(open) == 0 || len(open) == 1 && open[0] == t.id {
		return err
	}
	parts, err := tx.OtherParts(t.id, ids)
	if err != nil {
		return err
	}
	notes := map[string]map[bool][]string{}
	for _, p := range parts {
		if notes[p.Rollout] == nil {
			notes[p.Rollout] = map[bool][]string{}
		}
		holds := t.held[p.Device]
		notes[p.Rollout][holds] = append(notes[p.Rollout][holds], p.Device)
	}
	for other, devices := range notes {
		for holds, kind := range map[bool]string{true: noteTaken, false: noteFreed} {
			if len(devices[holds]) == 0 {
				continue
			}
			if err := t.d.put(tx, other, note{Type: kind, Devices: devices[holds]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// audit writes down what the rollout does by itself. What an operator asked for is written
// down with the order.
func (t *turn) audit(tx *store.Tx) error {
	if t.command != nil {
		return nil
	}
	for _, a := range t.actions {
		action, detail := audit.RolloutPhase, map[string]any{"phase": a.Phase}
		if a.Op == rollout.OpRun {
			action, detail = runAction(a.Run), map[string]any{"run": a.Run, "reason": a.Reason}
		}
		if a.Op != rollout.OpPhase && a.Op != rollout.OpRun || action == "" {
			continue
		}
		if err := auditlog.Append(tx, t.row.Tenant, t.d.byItself(action, "rollout/"+t.id, detail)); err != nil {
			return err
		}
	}
	return nil
}

// runAction is empty for what is not written down.
func runAction(r rollout.Run) audit.Action {
	switch r {
	case rollout.Paused:
		return audit.RolloutPause
	case rollout.RollingBack:
		return audit.RolloutRollBack
	case rollout.Finished, rollout.RolledBack:
		return audit.RolloutEnd
	}
	return ""
}

// keep remembers what was stored.
func (t *turn) keep() {
	m := t.m
	m.engine, m.turn, m.asked, m.used = t.engine, t.number, t.asked, t.now
	for device, holds := range t.held {
		if holds {
			m.held[device] = true
		} else {
			delete(m.held, device)
		}
	}
}

// log says what people want to know of a turn.
func (t *turn) log() {
	for _, a := range t.actions {
		switch a.Op {
		case rollout.OpRun:
			t.d.Log.Warn("rollout", "rollout", t.id, "tenant", t.row.Tenant, "run", a.Run, "reason", a.Reason)
		case rollout.OpPhase:
			t.d.Log.Info("rollout begins a phase", "rollout", t.id, "tenant", t.row.Tenant, "phase", a.Phase)
		}
	}
}
