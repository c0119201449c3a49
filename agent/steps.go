package agent

import (
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// rest takes the steps of reconcile until one remains that wants more than this folder and
// the bootloader: a download, a reboot, checks, or patience.
func (m *machine) rest() (step, boot.State, error) {
	m.catchUp()
	for range maxSteps {
		b, err := m.boot.State()
		if err != nil {
			return hold, b, fmt.Errorf("ask the bootloader for its state: %w", err)
		}
		s := reconcile(m.state, b)
		if atRest, err := m.take(s, b); atRest || err != nil {
			return s, b, err
		}
	}
	return hold, boot.State{}, errors.New("state and bootloader do not come to rest; reboot, and report this")
}

// take does one step. atRest says that the rest of it is the caller's.
func (m *machine) take(s step, b boot.State) (atRest bool, err error) {
	u := m.state.Update
	switch s {
	case tell:
		if !m.proven || m.late() {
			return true, nil
		}
		return false, m.tell()
	case reboot:
		return m.overdue()
	case probe:
		if m.state.State == wire.Trying {
			return true, nil
		}
		return false, m.enter(wire.Trying, func(u *update) { u.Asked = 0 })
	case adopt:
		return false, m.adopt(b.Running)
	case settle:
		return false, m.settle()
	case retreat:
		return true, m.boot.Cancel()
	case fellBack:
		return false, m.fellBack()
	case cancel:
		return false, m.boot.Cancel()
	case repair:
		m.log.Warn("boot state was lost: committing the slot that runs", "slot", b.Running)
		return false, m.boot.Commit(b.Running)
	case overrun:
		return false, m.finish(Superseded, fmt.Sprintf("slot %s was committed by somebody else while it was being written", u.Slot))
	}
	return true, nil
}

// begin takes up an update. Crash after: it is resumed.
func (m *machine) begin(u update) error {
	u.Began = m.now()
	return m.enter(wire.Downloading, func(is *update) { *is = u })
}

// attempt counts the attempts before they are made, so that one that kills the agent counts.
func (m *machine) attempt() error {
	return m.note(func(u *update) { u.Attempts++ })
}

// chosen is called when the policy has agreed, before the first byte is written. The order:
// the state names the slot; the record forgets what the slot held; the bootloader is
// forbidden to start it. A crash in between leaves a slot that nobody counts on.
func (m *machine) chosen(from *firmware.Manifest, slot boot.Slot) error {
	r := releaseOf(from)
	r.Update = m.state.Update.ID
	if u := m.state.Update; u.Slot != slot || u.Release != r {
		if err := m.note(func(u *update) { u.Slot, u.Release = slot, r }); err != nil {
			return err
		}
	}
	if u := m.state.Update; u.Kind == direction.Soft {
		if err := m.pose(u.question(false, from.Notes)); err != nil {
			return err
		}
	}
	if _, held := m.record.Slots[slot]; held {
		if err := m.keep(func(rec *record) { delete(rec.Slots, slot) }); err != nil {
			return err
		}
	}
	return m.boot.Forbid(slot)
}

// verifying: every frame is in the slot; it is read back now.
func (m *machine) verifying() error {
	if m.state.State == wire.Installing {
		return nil
	}
	return m.enter(wire.Installing, func(*update) {})
}

// verified: the slot holds the image, durably, and goes on at once.
func (m *machine) verified() error {
	if err := m.keepWhole(); err != nil {
		return err
	}
	return m.enter(wire.Rebooting, func(u *update) { u.Attempts = 0 })
}

// keepWhole: the record says what the slot holds before the bootloader may try it, so that a
// trial can be taken up even if the state file is lost.
func (m *machine) keepWhole() error {
	u := m.state.Update
	old := u.Slot.Other()
	runs := m.holds(old, old)
	err := m.keep(func(r *record) { r.Slots[u.Slot], r.Slots[old] = u.Release, runs })
	m.proven = m.proven || err == nil
	return err
}

// ask counts a reboot that is about to be asked for; false when it was asked for too often.
// reached is whether the service was, for the trial to compare with.
func (m *machine) ask(reached bool) (bool, error) {
	if m.state.Update.Asked >= maxAsked {
		return false, nil
	}
	return true, m.note(func(u *update) { u.Asked, u.Reached = u.Asked+1, u.Reached || reached })
}

// tell asks the bootloader for the trial. Crash before: nothing is tried, and the next
// start tells again. Crash after: the bootloader tries, whether noted or not.
func (m *machine) tell() error {
	if err := m.boot.Try(m.state.Update.Slot); err != nil {
		return err
	}
	return m.note(func(u *update) { u.Tried = true })
}

// overdue gives up a reboot that was asked for and never came.
func (m *machine) overdue() (atRest bool, err error) {
	if m.state.Update.Asked < maxAsked {
		return true, nil
	}
	if err := m.boot.Cancel(); err != nil {
		return false, err
	}
	return false, m.finish(BootFailed, fmt.Sprintf("the reboot was asked for %d times and did not come", maxAsked))
}

// startTrial counts the starts of the agent within the trial: a release whose agent crashes
// again and again is not one to keep. It is called once per start, before the checks.
func (m *machine) startTrial() error {
	return m.note(func(u *update) {
		if u.Starts++; u.Starts > maxStarts {
			u.Reason = Health
			u.Detail = fmt.Sprintf("the agent was started %d times within the trial and never came to a verdict", maxStarts)
		}
	})
}

// adopt takes up a trial of which only the record still knows. If that does not know of it
// either, perhaps because the new system has not mounted the state folder, nobody can say
// what is on trial, and it is given up.
func (m *machine) adopt(running boot.Slot) error {
	r, known := m.record.Slots[running]
	taken := update{
		ID: r.Update, Product: r.Product, From: m.holds(running.Other(), running).Version, To: r.Version,
		Began: m.now(), Slot: running, Release: r, Tried: true,
	}
	if !known || r.Update == "" {
		taken.ID, taken.Reason = "unknown", BootFailed
		taken.Detail = "nothing is known of the slot on trial: is the state folder mounted?"
	}
	return m.enter(wire.Trying, func(u *update) { *u = taken })
}

// condemn is the verdict against the release on trial. It is durable before the way back
// begins, so that the old system can say why.
func (m *machine) condemn(reason Reason, detail string) error {
	return m.note(func(u *update) { u.Reason, u.Detail = reason, wire.Text(detail) })
}

// commit keeps the release on trial: the bootloader first. From there on the update has
// succeeded, whatever happens to the files of this folder; settle makes them say so.
func (m *machine) commit() error {
	if err := m.boot.Commit(m.state.Update.Slot); err != nil {
		return err
	}
	return m.settle()
}

func (m *machine) settle() error {
	u := m.state.Update
	err := m.keep(func(r *record) {
		r.Counter = max(m.floor(), u.Release.Counter)
		r.Slots[u.Slot] = u.Release
	})
	if err != nil {
		return err
	}
	return m.end(wire.Committed, "", "")
}

// fellBack: the old slot runs again, by the agent's verdict or by the bootloader's count.
func (m *machine) fellBack() error {
	u := m.state.Update
	if err := m.boot.Cancel(); err != nil && !errors.Is(err, boot.ErrLost) {
		return err
	}
	err := m.keep(func(r *record) {
		delete(r.Slots, u.Slot)
		r.Ended = u.ID
	})
	if err != nil {
		return err
	}
	if u.Reason != "" {
		return m.end(wire.RolledBack, u.Reason, u.Detail)
	}
	return m.end(wire.RolledBack, BootFailed,
		fmt.Sprintf("slot %s was to be tried, and slot %s runs: it did not start, or did not stay up until the verdict", u.Slot, u.Slot.Other()))
}
