package rollout

import (
	"time"
)

// MaxActions is about how many actions one Step returns, so that one transaction can take
// them. Where there is more to do, the next time that it returns is now.
const MaxActions = 4096

// Action is what the caller is to do, or to tell people.
type Action struct {
	Op     Op     `json:"op"`
	Device string `json:"device,omitempty"`
	// Update is the name of the device's attempt, a UUID: see UpdateName.
	Update string `json:"update,omitempty"`
	Kind   Kind   `json:"kind,omitempty"` // of OpAsk, OpDirect, OpRollBack
	// Until is the end of the device's window; a direction should not be begun later.
	// Zero without windows.
	Until  time.Time `json:"until,omitzero"`
	Phase  string    `json:"phase,omitempty"`  // of the device; of OpPhase
	Run    Run       `json:"run,omitempty"`    // of OpRun
	Reason string    `json:"reason,omitempty"` // of OpRun, for people
}

// Op is what an action is.
type Op string

const (
	OpAsk      Op = "ask"       // ask the people at the device about Setup.Release
	OpDirect   Op = "direct"    // direct the device to Setup.Release
	OpRollBack Op = "roll_back" // direct the device to Setup.Fallback
	OpWithdraw Op = "withdraw"  // the device's direction, or question, becomes "nothing"

	OpPhase Op = "phase" // Phase begins
	OpRun   Op = "run"   // the rollout is Run now
)

// turn is one Step.
type turn struct {
	r       *Rollout
	now     int64
	actions []Action
}

// Step decides what is to be done now, and says when to call it again at the latest; also
// call it after Apply. The zero time means that only an event can change anything. See the
// package's doc for what must be stored before an action is carried out. Fractions of a
// second in now are cut off; now may go back, which undoes nothing.
func (r *Rollout) Step(now time.Time) ([]Action, time.Time) {
	t := &turn{r: r, now: now.Unix()}
	if r.head.Run == Scheduled && t.now >= seconds(r.spec.Start) {
		r.stop(Running, "")
	}
	done := t.expire()
	r.letGo()
	t.tell()
	if done = t.withdraw() && done; done {
		t.gates()
		r.letGo()
		t.tell()
		done = t.withdraw() && t.ask() && t.direct()
	}
	if !done {
		return t.actions, time.Unix(t.now, 0).UTC()
	}
	return t.actions, t.next()
}

func (t *turn) add(a Action) { t.actions = append(t.actions, a) }

func (t *turn) full() bool { return len(t.actions) >= MaxActions }

// expire handles what is due; false if there was too much.
func (t *turn) expire() bool {
	for n := 0; t.r.timers.len() > 0 && t.r.timers.items[0].at <= t.now; n++ {
		if n == MaxActions {
			return false
		}
		t.r.change(t.r.timers.items[0].who, func(d *record) {
			switch {
			case d.timer == 0 || d.timer > t.now:
				t.r.requeue(d, false) // its window is over
			case d.state == Asked || d.state == Deferred:
				t.r.patienceOver(d, t.now)
			default:
				d.silence()
			}
		})
	}
	return true
}

// letGo takes back, after the rollout has stopped or turned, what devices have not begun
// or, where there is no going on, what they can still leave.
func (r *Rollout) letGo() {
	if r.calm {
		return
	}
	r.calm = true
	if r.head.Run == Running || r.head.Run == Scheduled {
		return
	}
	for _, e := range r.sorted(r.held) {
		i, d := e.who, &r.recs[e.who]
		switch {
		case r.head.Run == Paused:
			if d.state.inFlight() && d.step == stepNone {
				r.change(i, func(d *record) { r.requeue(d, true) })
			}
		case d.step < stepRebooting && !(r.head.Run == RollingBack && d.is(back)):
			r.change(i, func(d *record) {
				d.clear(consented)
				r.requeue(d, true)
			})
		}
	}
}

// tell says where the rollout stands, if that is news.
func (t *turn) tell() {
	h := &t.r.head
	if h.Run != h.SaidRun || h.Reason != h.SaidReason {
		h.SaidRun, h.SaidReason = h.Run, h.Reason
		t.add(Action{Op: OpRun, Run: h.Run, Reason: h.Reason})
	}
}

// withdraw takes back what is owed; false if there is more.
func (t *turn) withdraw() bool {
	r, left := t.r, t.r.owed
	r.owed = nil
	for _, e := range r.sorted(left) {
		if t.full() {
			r.owed = append(r.owed, e.who)
			continue
		}
		r.change(e.who, func(d *record) { d.clear(owed | told) })
		d := &r.recs[e.who]
		t.add(Action{Op: OpWithdraw, Device: d.id, Update: UpdateName(r.setup.ID, d.id, int(d.attempt))})
	}
	return len(r.owed) == 0
}
