package agent

import (
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
)

// step is the next thing to do at a start, see the table in the package comment.
type step string

const (
	stay     step = "stay"      // nothing under way
	resume   step = "resume"    // go on with the download
	tell     step = "tell"      // tell the bootloader (again) to try the slot
	reboot   step = "reboot"    // ask for the reboot (again)
	probe    step = "probe"     // this is the trial: run the checks
	adopt    step = "adopt"     // a trial that the state file does not know: take it up
	settle   step = "settle"    // the bootloader has committed it: finish
	retreat  step = "retreat"   // forget the trial, reboot into the old slot
	fellBack step = "fell-back" // the old slot runs again: rolled back
	await    step = "await"     // the slot is whole, and waits for its time or for people
	cancel   step = "cancel"    // forget a trial that nobody asked for
	repair   step = "repair"    // commit the slot that runs: the boot state is lost
	overrun  step = "overrun"   // somebody committed the slot behind our back: the update is over
	hold     step = "hold"      // cannot be told: touch nothing
)

// reconcile compares what the agent remembers with what the bootloader says. It is called
// again after each step that changes either, and comes to rest at stay, resume, await, reboot,
// probe, retreat or hold.
func reconcile(s state, b boot.State) step {
	switch {
	case !b.Running.Valid():
		return hold
	case s.State == wire.Downloading || s.State == wire.Installing:
		return reconcileWriting(s.Update.Slot, b)
	case s.State == wire.Staged:
		return reconcileStaged(s, b)
	case s.State == wire.Rebooting:
		return reconcileRebooting(s.Update, b)
	case s.State == wire.Trying:
		return reconcileTrying(s.Update, b)
	}
	return reconcileRest(b)
}

// reconcileRest: no update is under way, or none is known of.
func reconcileRest(b boot.State) step {
	switch {
	case b.Lost:
		return repair
	case b.Trial == b.Running && b.Committed != b.Running:
		return adopt
	case b.Trial != "":
		return cancel
	case b.Committed != b.Running:
		return hold
	}
	return stay
}

// reconcileWriting: slot is half written, or not yet chosen.
func reconcileWriting(slot boot.Slot, b boot.State) step {
	switch {
	case slot == b.Running && b.Committed == slot && !b.Lost:
		return overrun
	case slot == b.Running:
		return hold // whatever this is, it was never verified
	case b.Lost:
		return repair
	case b.Trial != "":
		return cancel
	case b.Committed != b.Running:
		return hold
	}
	return resume
}

// reconcileStaged: the slot is verified; the bootloader was told nothing, or was to forget it.
// If it has been started all the same, by a power cut before that or by somebody, this is
// its trial.
func reconcileStaged(s state, b boot.State) step {
	slot := s.Update.Slot
	started := b.Running == slot && (b.Lost || b.Trial == slot || b.Committed == slot)
	switch rest := reconcileRest(b); {
	case started:
		return reconcileRebooting(s.Update, b)
	case rest == stay && s.busy():
		return await
	default:
		return rest
	}
}

// reconcileRebooting: the slot is verified; the bootloader may know of the trial.
func reconcileRebooting(u update, b boot.State) step {
	switch {
	case b.Running == u.Slot && b.Lost:
		return probe
	case b.Running == u.Slot && b.Committed == u.Slot:
		return settle
	case b.Running == u.Slot && b.Trial == u.Slot:
		return probe
	case b.Running == u.Slot:
		return retreat
	case b.Lost:
		return fellBack
	case b.Committed == u.Slot:
		return hold
	case b.Trial == u.Slot && b.TriesLeft > 0:
		return reboot
	case b.Trial == "" && !u.Tried && !b.Of(u.Slot).Failed:
		return tell
	}
	return fellBack
}

// reconcileTrying: the trial has begun. A reason in u is the verdict against it.
func reconcileTrying(u update, b boot.State) step {
	switch {
	case b.Running != u.Slot && b.Committed == u.Slot && !b.Lost:
		return hold
	case b.Running != u.Slot:
		return fellBack
	case b.Committed == u.Slot && !b.Lost:
		return settle
	case u.Reason != "":
		return retreat
	case b.Trial == u.Slot || b.Lost:
		return probe
	}
	return retreat
}
