package agent

import (
	"errors"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// errWindow ends a download at the end of its window.
var errWindow = errors.New("the window is over")

// terms are what a direction says of when its update may begin.
type terms struct {
	Kind       direction.Kind `json:"kind,omitempty"`
	Until      time.Time      `json:"until,omitzero"`
	DeferUntil time.Time      `json:"defer_until,omitzero"`
}

func termsOf(d direction.Direction) terms { return terms{d.Kind, d.Until, d.DeferUntil} }

// late says whether the window is over, if there is one.
func (t terms) late(now time.Time) bool { return !t.Until.IsZero() && !now.Before(t.Until) }

// waits is what the device waits for, nil if it does not: an update, before the reboot; or
// an answer, without one. From the reboot on nothing is waited for.
func (s state) waits(now time.Time) *wire.Wait {
	u, q := s.Update, s.Question
	staged := s.State == wire.Staged && s.busy()
	switch {
	case u.Local:
	case staged && !u.Expires.IsZero() && !now.Before(u.Expires):
		return &wire.Wait{Update: u.ID, For: wire.WaitDirection}
	case (s.revocable() || s.State == wire.Rebooting) && u.late(now):
		return &wire.Wait{Update: u.ID, For: wire.WaitWindow}
	case staged && u.Kind == direction.Soft && !q.agreed() && now.Before(u.DeferUntil):
		return &wire.Wait{Update: u.ID, For: wire.WaitPeople, Until: u.DeferUntil}
	}
	if q.live() && q.Ask && q.pending(now) {
		return &wire.Wait{Update: q.Update, For: wire.WaitPeople, Until: q.Deadline}
	}
	return nil
}

// patient says whether time, or the people at the device, may change what is to be done.
func (s state) patient() bool {
	open := s.revocable() && (s.State == wire.Staged || !s.Update.Until.IsZero())
	return open || s.Question.live() && !s.begun(s.Question.Update)
}

// begun says whether it is too late to put an update off.
func (s state) begun(update string) bool {
	return s.Update.ID == update && (s.State == wire.Rebooting || s.State == wire.Trying || s.over())
}

// late says whether the window of the update closed before the reboot.
func (m *machine) late() bool {
	w := m.state.waits(m.now())
	return w != nil && w.For == wire.WaitWindow
}

// arrived: the image is in the slot, durably and read back. What may go on does; what may
// not, or was not to, waits there.
func (m *machine) arrived() error {
	there := m.state
	there.State = wire.Staged
	if there.over() || there.waits(m.now()) != nil {
		return m.stage()
	}
	return m.verified()
}

// stage: the slot is whole, and stays forbidden to the bootloader.
func (m *machine) stage() error {
	if err := m.keepWhole(); err != nil {
		return err
	}
	return m.enter(wire.Staged, func(u *update) { u.Attempts = 0 })
}

// release ends the wait of a staged slot. If it was staged before this start it is read back
// once more, before the bootloader is told.
func (m *machine) release() error { return m.enter(wire.Rebooting, func(*update) {}) }

// standDown: the window closed before the reboot came. Crash after: the trial, of which the
// state knows no more, is cancelled at the next start; or, where the system was started
// again meanwhile, goes on.
func (m *machine) standDown() error {
	return m.enter(wire.Staged, func(u *update) { u.Tried, u.Asked, u.Reached = false, 0, false })
}

// tick: time has passed, by the clock that is trusted.
func (l *loop) tick() {
	l.hearAnswer()
	if l.work != nil && l.m.state.State == wire.Downloading && l.m.late() {
		l.work.cancel(errWindow) // what was fetched stays
	}
	if l.work == nil && !same(l.m.state.waits(l.now()), l.waiting) {
		l.advance()
	}
	l.watch()
}

func same(a, b *wire.Wait) bool { return a == b || a != nil && b != nil && *a == *b }

// watch sees to it that tick is called while anything waits.
func (l *loop) watch() {
	l.waiting = l.m.state.waits(l.now())
	if l.m.state.patient() {
		l.clock.Reset(l.o.Look)
	} else {
		l.clock.Stop()
	}
}

// await goes on with a staged slot, if it may.
func (l *loop) await() {
	switch {
	case l.superseding():
		l.supersede()
	case !l.enabled():
		l.abandon()
		return
	case l.m.state.waits(l.now()) != nil:
		return
	default:
		if err := l.m.release(); err != nil {
			l.stumble(err)
			return
		}
	}
	l.advance()
}

// withdraw gives the trial up that was to come, for now.
func (l *loop) withdraw() {
	if err := l.m.standDown(); err != nil {
		l.stumble(err)
		return
	}
	l.advance()
}
