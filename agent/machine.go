package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
)

// Bounds that keep a start from turning into a loop.
const (
	maxSteps  = 8 // of reconciliation at one start
	maxAsked  = 3 // reboots asked for one purpose
	maxStarts = 5 // of the agent within one trial
)

// events is the outbox as the machine needs it.
type events interface {
	// Append numbers the event and keeps it; durable when it returns nil.
	Append(wire.Event) (wire.Event, error)
	// Position is where the last event went, 0 before the first. Epoch is another one
	// after the outbox was lost.
	Position() (epoch string, seq int64)
}

// machine is the state of the device and its transitions. It belongs to one goroutine. It
// does not touch the network.
type machine struct {
	files   files
	boot    boot.Bootloader
	out     events
	now     func() time.Time
	log     *slog.Logger
	observe func(wire.Event) // of each event that the outbox took
	told    func()           // called after every transition
	native  Release          // what the configuration says of the running slot

	state  state
	record record
	unsent []wire.Event // that the outbox did not take
	proven bool         // the slot was read back since this start
}

// open reads what was left by the last start. A file that is lost costs what it said, never
// the start: the error about it goes to the log.
func (m *machine) open() error {
	var err error
	if m.state, err = loadState(m.files); err != nil && !m.lost(err) {
		return err
	}
	if m.record, err = loadRecord(m.files); err != nil && !m.lost(err) {
		return err
	}
	if e := m.record.Ended; e != "" && !m.state.ended(e) {
		m.state.Ended = append(m.state.Ended, e)
	}
	floor := m.floor()
	if b, err := m.boot.State(); err == nil && b.Running == b.Committed && !b.Lost {
		floor = max(floor, m.record.Slots[b.Running].Counter) // a crash came between the commit and the record
	}
	if floor != m.record.Counter {
		return m.keep(func(r *record) { r.Counter = floor })
	}
	return nil
}

// floor is the release counter below which nothing is installed.
func (m *machine) floor() int64 {
	return max(m.record.Counter, m.state.Floor, m.native.Counter)
}

// holds is what is known of a slot.
func (m *machine) holds(s, running boot.Slot) Release {
	if r, known := m.record.Slots[s]; known || s != running {
		return r
	}
	return m.native
}

// keep changes the record, durably.
func (m *machine) keep(edit func(*record)) error {
	next := m.record
	next.Slots = maps.Clone(next.Slots)
	edit(&next)
	if err := saveRecord(m.files, next); err != nil {
		return fmt.Errorf("keep the release record: %w", err)
	}
	m.record = next
	return nil
}

// note changes the update without a transition, durably.
func (m *machine) note(edit func(*update)) error {
	next := m.state
	edit(&next.Update)
	return m.save(next)
}

func (m *machine) save(next state) error {
	next.Schema, next.Floor = schema, m.floor()
	if err := saveState(m.files, next); err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	m.state = next
	return nil
}

// enter is every transition: the state first, durably, and in it where its event will go;
// then the event. A crash between the two is made good by catchUp.
func (m *machine) enter(to wire.State, edit func(*update)) error {
	next := m.state
	next.Ended = slices.Clone(next.Ended)
	edit(&next.Update)
	epoch, seq := m.out.Position()
	next.State, next.Since, next.Mark = to, m.now(), mark{epoch, seq + int64(len(m.unsent)) + 1}
	if next.over() {
		next.end()
	}
	if to == wire.Downloading || to == wire.Staged || to == wire.Committed {
		next.Trouble = nil
	}
	if err := m.save(next); err != nil {
		return err
	}
	m.log.Info("update", "state", to, "update", next.Update.ID, "from", next.Update.From, "to", next.Update.To,
		"reason", next.Update.Reason, "detail", next.Update.Detail)
	m.unsent = append(m.unsent, m.event())
	m.deliver()
	if m.told != nil {
		m.told()
	}
	return nil
}

// catchUp puts the event of the present state into the outbox, unless it is there.
func (m *machine) catchUp() {
	epoch, seq := m.out.Position()
	past := m.state.Mark.Epoch == epoch && seq >= m.state.Mark.Seq
	if m.state.State != wire.Idle && m.state.Mark.Seq > 0 && !past && len(m.unsent) == 0 {
		m.unsent = append(m.unsent, m.event())
	}
	m.deliver()
}

// deliver empties unsent. An outbox that cannot be written must not hold up a commit or a
// rollback: what it did not take is offered again at the next transition.
func (m *machine) deliver() {
	for len(m.unsent) > 0 {
		e, err := m.out.Append(m.unsent[0])
		if err != nil {
			m.log.Error("put event into the outbox", "error", err)
			m.unsent = m.unsent[max(0, len(m.unsent)-maxEnded):]
			return
		}
		m.unsent = m.unsent[1:]
		if m.observe != nil {
			m.observe(e)
		}
	}
}

// event is what the persisted state says, so that a crash cannot change its words.
func (m *machine) event() wire.Event {
	s, u := m.state, m.state.Update
	return wire.Event{
		Schema: wire.Schema, Time: s.Since, Update: u.ID, State: s.State,
		Product: u.Product, From: u.From, To: u.To,
		Reason: string(u.Reason), Detail: u.Detail, Fetched: u.Fetched, Written: u.Written,
		Unchanged: u.Unchanged, Zeroed: u.Zeroed, Patched: u.Patched,
		Millis: max(0, s.Since.Sub(u.Began).Milliseconds()),
	}
}

// finish ends the update for a reason.
func (m *machine) finish(reason Reason, detail string) error {
	return m.end(reason.end(), reason, detail)
}

func (m *machine) end(to wire.State, reason Reason, detail string) error {
	return m.enter(to, func(u *update) { u.Reason, u.Detail = reason, wire.Text(detail) })
}

// lost says whether err is only a lost file, and then logs it.
func (m *machine) lost(err error) bool {
	if !isLost(err) {
		return false
	}
	m.log.Error("go on without what was remembered", "error", err)
	return true
}
