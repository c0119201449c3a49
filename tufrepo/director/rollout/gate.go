package rollout

import (
	"fmt"
	"slices"
)

// brake pauses the rollout, or turns it back, when too many devices of a phase have failed
// or fallen silent. It is asked after every change of a record, so it cannot be late.
func (r *Rollout) brake(phase int) {
	h := &r.head
	if phase < 0 || h.Back || h.Braked || h.Run != Running && h.Run != Paused {
		return
	}
	p, t := &h.Phases[phase], &r.tallies[phase+1]
	p.Bad, p.Ended = min(p.Bad, t.bad), min(p.Ended, t.ended)
	b := r.spec.brake(phase)
	bad, ended := t.bad-p.Bad, t.ended-p.Ended
	least := max(1, min(b.Sample, t.size()-t.states[Already]-p.Ended))
	if ended < least || bad*100 <= b.Percent*ended {
		return
	}
	why := fmt.Sprintf("phase %s: %d of %d devices failed or fell silent, more than %d percent",
		r.spec.Phases[phase].Name, bad, ended, b.Percent)
	if r.spec.RollBack && h.Run == Running {
		r.goBack(why)
		return
	}
	h.Braked = true
	r.stop(Paused, why)
}

// forgive makes the brake count from here, in every phase.
func (r *Rollout) forgive() {
	for p := range r.head.Phases {
		t := &r.tallies[p+1]
		r.head.Phases[p].Bad, r.head.Phases[p].Ended = t.bad, t.ended
	}
}

func (r *Rollout) stop(run Run, why string) {
	r.head.Run, r.head.Reason, r.calm = run, why, false
}

// goBack turns the rollout round. Who is to be taken back needs no mark: they are the
// Committed ones.
func (r *Rollout) goBack(why string) {
	r.head.Back, r.head.Braked = true, false
	r.stop(RollingBack, why)
	r.derive()
}

// gates ends phases and begins the next ones, and the rollout at last.
func (t *turn) gates() {
	r := t.r
	for r.head.Run == Running && (r.head.Phase < 0 || r.passed(r.head.Phase, t.now)) {
		if r.head.Phase+1 < len(r.spec.Phases) {
			r.head.Phase++
			t.add(Action{Op: OpPhase, Phase: r.spec.Phases[r.head.Phase].Name})
			continue
		}
		if r.allEnded() && t.now >= seconds(r.spec.OpenUntil) {
			r.stop(Finished, "")
		}
		break
	}
	if r.head.Run == RollingBack && r.noneToRevert() {
		r.stop(RolledBack, r.head.Reason)
	}
}

// passed says whether the next phase may begin; it pauses the rollout where this phase
// cannot pass any more.
func (r *Rollout) passed(phase int, now int64) bool {
	p, spec, t := &r.head.Phases[phase], r.spec.Phases[phase], &r.tallies[phase+1]
	need := share(t.size(), spec.Success)
	switch {
	case p.Skipped:
		return true
	case p.Passed == 0 && spec.Canary && t.size() == 0:
		r.stop(Paused, fmt.Sprintf("the canary phase %s has no devices: advance it to do without", spec.Name))
		return false
	case p.Passed == 0 && t.good()+t.open() < need:
		r.stop(Paused, fmt.Sprintf("phase %s cannot succeed: it needs %d of %d devices, %d have committed and %d are left; retry the failed ones, or advance it",
			spec.Name, need, t.size(), t.good(), t.open()))
		return false
	case p.Passed == 0 && t.good() < need:
		return false
	case p.Passed == 0:
		p.Passed = now
	}
	return now >= p.Passed+spec.Soak.seconds() && (!spec.Approval || p.Approved)
}

func (r *Rollout) allEnded() bool {
	return !slices.ContainsFunc(r.tallies, func(t tally) bool { return t.open() > 0 || t.states[Reverting] > 0 })
}

// noneToRevert: nobody is Committed or on the way, there or back.
func (r *Rollout) noneToRevert() bool {
	return !slices.ContainsFunc(r.tallies, func(t tally) bool {
		return t.states[Committed]+t.states[Reverting]+t.states[Updating] > 0
	})
}
