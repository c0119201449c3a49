package director

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
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
