package director

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

const (
	// leaseFor is how long a director keeps a rollout after its last turn, so that two do not
	// read it again and again. One that has died is replaced after it.
	leaseFor = 15 * time.Second
	// inboxMost is how many notes one turn takes.
	inboxMost = 5000
	// turnTries is how often a turn is begun where another rollout has taken a device since.
	turnTries = 3
)

// errElsewhere: another director has the rollout.
var errElsewhere = errors.New("another director has the rollout")

// turn is one turn of a rollout: the update of rollout/doc.go. Its members are made anew
// whenever the update runs.
type turn struct {
	d       *Director
	m       *mind
	id      string
	command *note // what an operator asks for; nil for nothing

	engine  *rollout.Rollout
	row     store.Rollout
	now     time.Time
	number  int64
	actions []rollout.Action
	told    []string        // devices with a new direction
	held    map[string]bool // what has changed of mind.held
	asked   time.Time
	more    bool
}

// turn takes a rollout's turn. more says that another is due at once. Errors: errElsewhere;
// of type *Error what an operator asked for and cannot have.
func (d *Director) turn(ctx context.Context, id string, command *note) (more bool, err error) {
	m := d.mind(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := d.recall(ctx, id, m); err != nil {
		return false, err
	}
	var t turn
	for try := 1; ; try++ {
		err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
			t = turn{d: d, m: m, id: id, command: command, now: d.Clock(), held: map[string]bool{}}
			return t.run(tx)
		})
		if err == nil {
			break
		}
		m.forget() // it may be ahead of what is stored
		if !errors.Is(err, store.ErrConflict) || try == turnTries {
			return false, err
		}
	}
	t.keep()
	d.stir() // rollouts that were told of devices
	for _, device := range t.told {
		d.told(device)
	}
	t.log()
	return t.more, nil
}

// recall reads a rollout that is not remembered outside of the turn, which keeps everybody
// else from writing to SQLite; and not where it is another director's.
func (d *Director) recall(ctx context.Context, id string, m *mind) error {
	return d.Store.View(ctx, func(tx *store.Tx) error {
		elsewhere, err := tx.HeldLease(store.RolloutLease(id), d.node(), d.Clock())
		if elsewhere {
			m.forget()
			return errElsewhere
		}
		if err != nil || m.engine != nil {
			return err
		}
		row, err := tx.Rollout(id)
		if err != nil {
			return notFound(err, "rollout %s does not exist", id)
		}
		return m.load(tx, row, d.Clock())
	})
}

// run is the update. Whatever ends it early, the engine is thrown away: see turn.
func (t *turn) run(tx *store.Tx) error {
	_, err := tx.Lease(store.RolloutLease(t.id), t.d.node(), t.now.Add(leaseFor), t.now)
	if errors.Is(err, store.ErrHeld) {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	if err != nil {
		return err
	}
	if t.row, err = tx.Rollout(t.id); err != nil {
		return notFound(err, "rollout %s does not exist", t.id)
	}
	if err := t.m.load(tx, t.row, t.now); err != nil {
		return err
	}
	// From here on the engine is ours: a second run of this update reads it again.
	t.engine, t.m.engine, t.asked = t.m.engine, nil, t.m.asked
	if t.asked.Add(askEvery).Before(t.now) && busy(t.engine.Status()) > 0 {
		if err := t.m.compare(tx, t.engine, t.id, t.now); err != nil {
			return err
		}
		t.asked = t.now
	}
	if err := t.listen(tx); err != nil {
		return err
	}
	if t.command != nil {
		if err := t.engine.Apply(t.now, t.command.command()); err != nil {
			return refuse(wire.CodeConflict, "%v", err)
		}
	}
	actions, next := t.engine.Step(t.now)
	t.actions = actions
	if err := t.carry(tx); err != nil {
		return err
	}
	if err := t.audit(tx); err != nil {
		return err
	}
	return t.store(tx, next)
}

// listen applies what lies in the inbox, and empties it.
func (t *turn) listen(tx *store.Tx) error {
	all, err := tx.RolloutEvents(t.id, inboxMost)
	if err != nil || len(all) == 0 {
		return err
	}
	t.more = len(all) == inboxMost
	notes := make([]note, 0, len(all))
	var ask []string
	for _, e := range all {
		var n note
		if err := json.Unmarshal(e.Body, &n); err != nil {
			t.d.Log.Error("a note to a rollout cannot be read and is dropped", "rollout", t.id, "error", err)
			continue
		}
		if n.Type == noteFacts {
			ask = append(ask, n.Device)
		}
		notes = append(notes, n)
	}
	members, err := tx.Members(ask)
	if err != nil {
		return err
	}
	for _, n := range notes {
		for _, e := range n.events(t.m.setup, members) {
			if err := t.engine.Apply(t.now, e); err != nil {
				t.d.Log.Info("a note to a rollout came too late", "rollout", t.id, "note", n.Type, "error", err)
			}
		}
	}
	return tx.DropRolloutEvents(all)
}

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
