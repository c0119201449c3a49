package director

import (
	"sync"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// mind is a rollout as this director remembers it between turns, so that a report does not
// cost reading a hundred thousand rows.
type mind struct {
	mu     sync.Mutex // held during a turn
	failed time.Time  // of the last turn, if it has

	engine *rollout.Rollout // nil: read it again
	turn   int64            // that it is at
	setup  setup
	plan   rollout.Spec
	held   map[string]bool // its devices, as they are stored
	asked  time.Time       // when it was asked last which devices others hold
	used   time.Time       // its last turn
}

// mind finds the memory of a rollout, or makes an empty one.
func (d *Director) mind(id string) *mind {
	d.remember.Lock()
	defer d.remember.Unlock()
	m := d.minds[id]
	if m == nil {
		m = &mind{}
		d.minds[id] = m
	}
	return m
}

// load makes the memory that of row, if it is not.
func (m *mind) load(tx *store.Tx, row store.Rollout, now time.Time) error {
	stands, err := readStanding(row)
	if err != nil || m.engine != nil && m.turn == stands.Turn {
		return err
	}
	m.forget()
	if m.setup, m.plan, err = readSetup(row); err != nil {
		return err
	}
	var rows []rollout.Row
	held := map[string]bool{}
	err = tx.EachRolloutRow(row.ID, func(r store.RolloutRow) error {
		one, err := fromRow(r)
		rows = append(rows, one)
		if r.Held {
			held[r.Device] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	engine, err := rollout.Restore(m.setup.engine(row.ID, m.plan), stands.Head, func(yield func(rollout.Row) bool) {
		for _, r := range rows {
			if !yield(r) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	m.turn, m.held = stands.Turn, held
	if err := m.compare(tx, engine, row.ID, now); err != nil {
		return err
	}
	m.engine = engine
	return nil
}

// askEvery is how often a rollout that waits for devices of others looks for itself whether
// they are free.
const askEvery = 5 * time.Minute

// compare tells the engine which of its devices other rollouts hold, and which are free.
// What rollouts tell each other can be missed where two are made at the same moment by two
// directors.
func (m *mind) compare(tx *store.Tx, engine *rollout.Rollout, id string, now time.Time) error {
	others, err := tx.HeldElsewhere(id)
	if err != nil {
		return err
	}
	taken := make(map[string]bool, len(others))
	for _, device := range others {
		taken[device] = true
		// It says no for a device that is held here; then the other's row is not stored.
		if err := engine.Apply(now, rollout.Taken{Device: device}); err != nil {
			return err
		}
	}
	if busy(engine.Status()) > 0 {
		for r := range engine.Rows() {
			if !taken[r.Device] {
				_ = engine.Apply(now, rollout.Freed{Device: r.Device}) // it never says no
			}
		}
	}
	m.asked = now
	return nil
}

// busy is how many devices wait for other rollouts.
func busy(s rollout.Status) (n int) {
	for _, p := range s.Phases {
		n += p.Busy
	}
	return n
}

func (m *mind) forget() { m.engine, m.held = nil, nil }

// idleMind is how long a rollout is remembered that has no turns, because it is paused or
// waits for its window.
const idleMind = 10 * time.Minute

// dropIdle forgets those rollouts. One that has its turn now is not idle.
func (d *Director) dropIdle() {
	d.remember.Lock()
	defer d.remember.Unlock()
	for _, m := range d.minds {
		if !m.mu.TryLock() {
			continue
		}
		if m.used.Add(idleMind).Before(d.Clock()) {
			m.forget()
		}
		m.mu.Unlock()
	}
}

func fromRow(r store.RolloutRow) (out rollout.Row, err error) {
	out = rollout.Row{Device: r.Device, Reason: r.Reason, Phase: r.Phase, Attempt: r.Attempt, Step: r.Step, Strikes: r.Strikes, Flags: r.Flags,
		Zone: r.Zone, Timer: r.Timer, Until: r.Until, First: r.First}
	err = out.State.UnmarshalText([]byte(r.State))
	return out, err
}

func toRows(rows []rollout.Row) []store.RolloutRow {
	out := make([]store.RolloutRow, len(rows))
	for i, r := range rows {
		out[i] = store.RolloutRow{Device: r.Device, State: r.State.String(), Reason: r.Reason, Phase: r.Phase, Attempt: r.Attempt, Step: r.Step,
			Strikes: r.Strikes, Flags: r.Flags, Zone: r.Zone, Timer: r.Timer, Until: r.Until, First: r.First, Held: r.State.Holds()}
	}
	return out
}
