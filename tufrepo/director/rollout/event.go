package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Event is something that a rollout is told. All of them may come twice, late or in
// another order; what says nothing new changes nothing.
type Event interface {
	// apply returns an error for what people asked for and cannot have.
	apply(r *Rollout, now int64) error
}

// What is known of devices.
type (
	// Facts is what the caller knows of a device now. A device that is not in the rollout
	// joins it, if the plan lets it.
	Facts struct{ Device Device }

	// Taken says that another rollout has the device, Freed that none has. See State.Holds.
	Taken struct{ Device string }
	Freed struct{ Device string }

	// Seen says that a device is connected. Only for a Silent one it means anything.
	Seen struct{ Device string }

	// Report is what a device says of an update.
	Report struct {
		Device string
		Update string // as Action named it
		State  wire.State
		Reason string // of Failed, RolledBack, Rejected
	}

	// Answer is what the people at a device say to an update: to a question, or to a Soft
	// direction before the reboot.
	Answer struct {
		Device string
		Update string
		Say    Say
		Until  time.Time // of Later
	}
)

// Say is what people answer.
type Say string

const (
	Yes   Say = "yes"
	Later Say = "later"
	No    Say = "no"
)

// What operators ask for. Their errors say why it cannot be.
type (
	// Pause: nothing is begun until Resume. Directions that devices have not taken up are
	// taken back; updates under way go on.
	Pause struct{ Reason string }
	// Resume goes on. After a pause by itself the brake counts anew from here.
	Resume struct{}
	// Abort ends the rollout. Whatever has not come to the reboot is taken back.
	Abort struct{ Reason string }
	// RollBack takes the devices that the rollout has updated to Setup.Fallback, also
	// after its end.
	RollBack struct{ Reason string }
	// Retry lets Failed, Silent and Declined devices try again; all of them if none is named.
	Retry struct{ Devices []string }
	// Approve gives the approval that the phase, the current one, waits for or will wait for.
	Approve struct{ Phase string }
	// Advance ends the current phase whatever it waits for, a success included.
	Advance struct{ Phase string }
)

// Apply tells the rollout of an event. It only changes the rollout's mind: what follows
// comes from Step. The error is for Pause to Advance, and for Taken of a device that this
// rollout holds; nothing has changed then.
func (r *Rollout) Apply(now time.Time, e Event) error {
	if err := e.apply(r, now.Unix()); err != nil {
		return fmt.Errorf("rollout %s: %w", r.setup.ID, err)
	}
	return nil
}

func (e Pause) apply(r *Rollout, _ int64) error {
	switch r.head.Run {
	case Paused:
		return nil
	case Scheduled, Running, RollingBack:
		r.stop(Paused, cmp.Or(e.Reason, "paused by an operator"))
		return nil
	}
	return fmt.Errorf("it is %s: there is nothing to pause", r.head.Run)
}

func (e Resume) apply(r *Rollout, _ int64) error {
	h := &r.head
	if h.Run.over() {
		return fmt.Errorf("it is %s and cannot go on: make a new one", h.Run)
	}
	if h.Run != Paused {
		return nil
	}
	switch {
	case h.Back:
		h.Run = RollingBack
	case h.Phase < 0:
		h.Run = Scheduled
	default:
		h.Run = Running
	}
	h.Reason = ""
	if h.Braked {
		h.Braked = false
		r.forgive()
	}
	return nil
}

func (e Abort) apply(r *Rollout, _ int64) error {
	if r.head.Run == Aborted {
		return nil
	}
	if r.head.Run.over() {
		return fmt.Errorf("it is %s already", r.head.Run)
	}
	r.stop(Aborted, cmp.Or(e.Reason, "aborted by an operator"))
	return nil
}

func (e RollBack) apply(r *Rollout, _ int64) error {
	switch {
	case r.setup.Fallback == nil:
		return fmt.Errorf("no release to go back to was named when it was made, or the tenant does not allow it")
	case r.head.Back && r.head.Run != Aborted:
		return nil
	}
	r.goBack(cmp.Or(e.Reason, "rolled back by an operator"))
	return nil
}

func (e Retry) apply(r *Rollout, _ int64) error {
	if r.head.Run.over() || r.head.Back {
		return fmt.Errorf("it is %s: make a new one for the devices that failed", r.head.Run)
	}
	if len(e.Devices) == 0 {
		for i := range r.recs {
			r.retry(int32(i))
		}
		return nil
	}
	for _, name := range e.Devices {
		if _, ok := r.index[name]; !ok {
			return fmt.Errorf("device %s is not in it", name)
		}
	}
	for _, name := range e.Devices {
		r.retry(r.index[name])
	}
	return nil
}

func (r *Rollout) retry(i int32) {
	if s := r.recs[i].state; s != Failed && s != Silent && s != Declined {
		return
	}
	r.change(i, func(d *record) {
		d.flags &= told | owed | busy | touched
		d.set(over)
		d.state, d.reason, d.strikes, d.step, d.timer, d.first = Waiting, "", 0, 0, 0, 0
	})
}

func (e Approve) apply(r *Rollout, _ int64) error {
	p, err := r.currentPhase(e.Phase)
	if err == nil {
		p.Approved = true
	}
	return err
}

func (e Advance) apply(r *Rollout, _ int64) error {
	p, err := r.currentPhase(e.Phase)
	if err == nil {
		p.Skipped = true
	}
	return err
}

// currentPhase finds the phase by name and insists that it is the current one.
func (r *Rollout) currentPhase(name string) (*PhaseHead, error) {
	p := slices.IndexFunc(r.spec.Phases, func(p Phase) bool { return p.Name == name })
	switch {
	case p < 0:
		return nil, fmt.Errorf("it has no phase %q", name)
	case r.head.Run.over() || r.head.Back:
		return nil, fmt.Errorf("it is %s", r.head.Run)
	case p < r.head.Phase:
		return nil, fmt.Errorf("phase %s is over already", name)
	case p > r.head.Phase:
		return nil, fmt.Errorf("phase %s has not begun", name)
	}
	return &r.head.Phases[p], nil
}
