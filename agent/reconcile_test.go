package agent

import (
	"fmt"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// at makes what the bootloader says: what runs, what is committed, what is on trial with how
// many starts left.
func at(running, committed, trial boot.Slot, left int) boot.State {
	return boot.State{Running: running, Committed: committed, Trial: trial, TriesLeft: left}
}

func lostEnv(running boot.Slot) boot.State {
	return boot.State{Running: running, Committed: running, Lost: true}
}

// TestReconcile is the table of the package comment. The update writes slot b.
func TestReconcile(t *testing.T) {
	untold, told := update{Slot: boot.B}, update{Slot: boot.B, Tried: true}
	condemned := update{Slot: boot.B, Tried: true, Reason: Health}
	only := update{Slot: boot.B, terms: terms{Kind: direction.DownloadOnly}}
	failed := at("a", "a", "", 0)
	failed.B.Failed = true
	for _, tt := range []struct {
		state wire.State
		u     update
		boot  boot.State
		want  step
		why   string
	}{
		{wire.Idle, update{}, at("a", "a", "", 0), stay, "nothing is under way"},
		{wire.Committed, told, at("b", "b", "", 0), stay, "nothing is under way"},
		{wire.RolledBack, told, at("a", "a", "", 0), stay, "nothing is under way"},
		{wire.Idle, update{}, at("b", "a", "b", 0), adopt, "the state file was lost in the trial"},
		{wire.Failed, told, at("b", "a", "b", 0), adopt, "an older state came back"},
		{wire.Idle, update{}, at("a", "a", "b", 1), cancel, "the state file was lost before the reboot"},
		{wire.Idle, update{}, at("b", "a", "", 0), hold, "the other slot was picked by hand"},
		{wire.Idle, update{}, lostEnv("a"), repair, "the boot state was lost"},
		{wire.Committed, told, lostEnv("b"), repair, "the boot state was lost"},
		{wire.Idle, update{}, at("", "a", "", 0), hold, "neither slot runs: a rescue system"},

		{wire.Downloading, update{}, at("a", "a", "", 0), resume, "the policy has not chosen yet"},
		{wire.Downloading, untold, at("a", "a", "", 0), resume, "interrupted"},
		{wire.Installing, untold, at("a", "a", "", 0), resume, "interrupted"},
		{wire.Installing, untold, at("a", "a", "b", 1), cancel, "a trial of a slot that is not verified"},
		{wire.Downloading, untold, at("b", "b", "", 0), overrun, "somebody committed it"},
		{wire.Downloading, untold, at("b", "a", "", 0), hold, "half a system was picked by hand"},
		{wire.Downloading, untold, at("b", "a", "b", 0), hold, "half a system, on trial"},
		{wire.Downloading, untold, lostEnv("a"), repair, "what runs is whole"},
		{wire.Downloading, untold, lostEnv("b"), hold, "the last resort has started half a system"},
		{wire.Downloading, untold, at("a", "b", "", 0), hold, "the committed slot is being written, and does not run"},
		{wire.Downloading, untold, at("", "a", "", 0), hold, "neither slot runs"},

		{wire.Staged, untold, at("a", "a", "", 0), await, "it waits"},
		{wire.Staged, untold, at("a", "a", "b", 1), cancel, "crash after the window closed, before the trial was given up"},
		{wire.Staged, untold, at("b", "a", "b", 0), probe, "the power was cut there: it was verified, and runs"},
		{wire.Staged, untold, at("b", "b", "", 0), settle, "somebody committed it"},
		{wire.Staged, untold, at("b", "a", "", 0), hold, "picked by hand"},
		{wire.Staged, untold, at("a", "b", "", 0), hold, "committed, and the other picked by hand"},
		{wire.Staged, untold, lostEnv("a"), repair, "what runs is whole"},
		{wire.Staged, untold, lostEnv("b"), probe, "the last resort has started what was verified"},
		{wire.Staged, untold, at("", "a", "", 0), hold, "neither slot runs"},
		{wire.Staged, only, at("a", "a", "", 0), stay, "it was only to be downloaded"},
		{wire.Staged, only, at("a", "a", "b", 1), cancel, "nobody asked for a trial"},
		{wire.Staged, only, at("b", "a", "b", 0), probe, "somebody tries it"},
		{wire.Staged, only, at("b", "b", "", 0), settle, "somebody committed it"},
		{wire.Staged, only, lostEnv("a"), repair, "the boot state was lost"},

		{wire.Rebooting, untold, at("a", "a", "", 0), tell, "crash before the bootloader was told"},
		{wire.Rebooting, untold, at("a", "a", "b", 1), reboot, "crash after it was told"},
		{wire.Rebooting, told, at("a", "a", "b", 1), reboot, "crash before the reboot"},
		{wire.Rebooting, told, at("b", "a", "b", 0), probe, "the trial"},
		{wire.Rebooting, untold, at("b", "a", "b", 0), probe, "the trial, not noted"},
		{wire.Rebooting, told, at("b", "b", "", 0), settle, "committed by hand"},
		{wire.Rebooting, told, at("b", "a", "", 0), retreat, "the trial was taken away"},
		{wire.Rebooting, told, at("a", "a", "", 0), fellBack, "tried, and fell back"},
		{wire.Rebooting, told, at("a", "a", "b", 0), fellBack, "tried, and fell back; the bootloader leaves the trial there"},
		{wire.Rebooting, untold, failed, fellBack, "tried, not noted, and fell back"},
		{wire.Rebooting, told, at("a", "b", "", 0), hold, "committed, and the other picked by hand"},
		{wire.Rebooting, told, lostEnv("b"), probe, "boot state lost in the trial"},
		{wire.Rebooting, told, lostEnv("a"), fellBack, "boot state lost, the old slot runs"},
		{wire.Rebooting, told, at("", "a", "b", 1), hold, "neither slot runs"},

		{wire.Trying, told, at("b", "a", "b", 0), probe, "the trial goes on"},
		{wire.Trying, told, at("b", "a", "b", 2), probe, "the trial goes on, with tries left"},
		{wire.Trying, told, at("b", "b", "", 0), settle, "crash after the commit"},
		{wire.Trying, condemned, at("b", "b", "", 0), settle, "committed by hand against the verdict"},
		{wire.Trying, condemned, at("b", "a", "b", 0), retreat, "crash after the verdict"},
		{wire.Trying, condemned, at("b", "a", "", 0), retreat, "crash before the reboot back"},
		{wire.Trying, told, at("b", "a", "", 0), retreat, "the trial was taken away"},
		{wire.Trying, condemned, at("a", "a", "", 0), fellBack, "back, as wanted"},
		{wire.Trying, told, at("a", "a", "", 0), fellBack, "back, by the bootloader's count"},
		{wire.Trying, told, at("a", "a", "b", 1), fellBack, "the old slot was picked by hand"},
		{wire.Trying, told, at("a", "b", "", 0), hold, "committed, and the other picked by hand"},
		{wire.Trying, told, lostEnv("b"), probe, "boot state lost in the trial"},
		{wire.Trying, condemned, lostEnv("b"), retreat, "boot state lost after the verdict"},
		{wire.Trying, told, lostEnv("a"), fellBack, "boot state lost, the old slot runs"},
		{wire.Trying, told, at("", "a", "b", 0), hold, "neither slot runs"},
	} {
		if got := reconcile(state{State: tt.state, Update: tt.u}, tt.boot); got != tt.want {
			t.Errorf("%s, %+v: %s, want %s: %s", tt.state, tt.boot, got, tt.want, tt.why)
		}
	}
}

// TestReconcileAll goes through every combination and holds what must never happen.
func TestReconcileAll(t *testing.T) {
	slots := []boot.Slot{boot.A, boot.B}
	states := []wire.State{wire.Idle, wire.Downloading, wire.Installing, wire.Staged, wire.Rebooting, wire.Trying,
		wire.Committed, wire.Failed, wire.RolledBack, wire.Rejected}
	n := 0
	for _, st := range states {
		for _, u := range []update{{Slot: boot.B}, {Slot: boot.B, terms: terms{Kind: direction.DownloadOnly}}, {Slot: boot.B, Tried: true}, {Slot: boot.B, Reason: Health, Tried: true}} {
			for _, running := range append(slots, "", "c") {
				for _, committed := range slots {
					for _, trial := range []boot.Slot{"", committed.Other()} {
						for _, env := range []boot.State{at(running, committed, trial, 0), at(running, committed, trial, 1), lostEnv(running)} {
							n++
							if why := forbidden(st, u, env, reconcile(state{State: st, Update: u}, env)); why != "" {
								t.Errorf("%s, told=%v, %+v: %s", st, u.Tried, env, why)
							}
						}
					}
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d combinations", n)
	}
}

// forbidden says what is wrong with s.
func forbidden(st wire.State, u update, b boot.State, s step) string {
	verified := st == wire.Staged || st == wire.Rebooting || st == wire.Trying
	onTrial := b.Running == u.Slot
	switch {
	case !b.Running.Valid() && s != hold:
		return fmt.Sprintf("%s although neither slot runs", s)
	case s == probe && (!verified || !onTrial || u.Reason != "" && st == wire.Trying):
		return "a trial of what is not verified, does not run, or is condemned"
	case s == settle && (b.Lost || b.Committed != u.Slot || !verified):
		return "success before the commit"
	case s == repair && (st == wire.Downloading || st == wire.Installing) && onTrial:
		return "half a system would be committed"
	case s == resume && (onTrial || b.Committed == u.Slot && !b.Lost):
		return "what runs or is committed would be written"
	case s == await && (st != wire.Staged || b.Lost || b.Running != b.Committed || b.Trial != ""):
		return "waits although the bootloader is not at rest"
	case s == tell && (!verified || b.Committed == u.Slot):
		return "a trial of what is not verified"
	case s == fellBack && onTrial:
		return "rolled back in the new slot"
	case s == stay && (b.Lost || b.Running != b.Committed || b.Trial != ""):
		return "at rest although the bootloader is not"
	case s == "":
		return "no step"
	}
	return ""
}
