package rollout

import "github.com/fairlead/fairlead/agent/wire"

// shortestDeferral keeps a device from being asked over and over.
const shortestDeferral = 5 * 60

func (e Report) apply(r *Rollout, now int64) error {
	i, n := r.named(e.Device, e.Update)
	if n == 0 {
		return nil
	}
	current := n == r.recs[i].attempt
	ended := r.recs[i].is(over)
	switch {
	case e.State == wire.Committed:
		r.committed(i, current)
	case !current || ended:
	case e.State == StagedWord && r.spec.Kind == DownloadOnly:
		r.staged(i)
	case e.State.Final():
		r.failed(i, e)
	default:
		r.advanced(i, stepOf(e.State), now)
	}
	return nil
}

// named finds a device and the number of its attempt; 0 for what this rollout never named.
func (r *Rollout) named(device, update string) (i int32, attempt uint16) {
	i, ok := r.index[device]
	if !ok {
		return 0, 0
	}
	if n, ok := attemptOf(r.setup.ID, device, update); ok && n <= r.recs[i].attempt {
		return i, n
	}
	return 0, 0
}

// committed counts for an earlier attempt as well: the device runs the release. The word
// of an attempt that has failed is not believed, and what is being rolled back has had its
// commit.
func (r *Rollout) committed(i int32, current bool) {
	d := &r.recs[i]
	switch {
	case d.state == Committed && !d.is(back), d.state == Already, d.state == Reverted, d.state == Excluded && r.head.Back:
	case current && d.state == Failed, !current && d.is(back):
	case d.is(back):
		r.change(i, func(d *record) { d.end(Reverted, "") })
	case current:
		r.change(i, func(d *record) { d.end(Committed, "") })
	default:
		r.change(i, func(d *record) { d.dismiss(Committed, "") })
	}
}

// staged: the image is in its slot, and the device goes no further.
func (r *Rollout) staged(i int32) {
	if d := &r.recs[i]; d.state.open() || d.state == Silent {
		r.change(i, func(d *record) { d.end(Staged, "") })
	}
}

// failed: failed, rolled_back or rejected. What was taken back and says so has not failed.
func (r *Rollout) failed(i int32, e Report) {
	d := &r.recs[i]
	taken := !d.state.inFlight() && !d.is(fresh)
	if taken && e.Reason == Superseded {
		r.change(i, func(d *record) { d.set(over) })
		return
	}
	reason := string(e.State)
	if e.Reason != "" {
		reason = e.Reason
	}
	r.change(i, func(d *record) { d.dismiss(Failed, reason) })
}

// advanced: a step forward; it starts the clock of silence anew. A device whose direction
// was taken back and that reboots nevertheless did not hear of it in time: it is updating.
func (r *Rollout) advanced(i int32, step uint8, now int64) {
	d := &r.recs[i]
	late := step >= stepRebooting && !d.is(fresh) && (d.state.open() || d.state == Silent || d.is(back) && d.state == Committed)
	switch {
	case step <= d.step || !d.state.inFlight() && !late:
	case d.is(busy): // with another rollout by now
		r.change(i, func(d *record) { d.set(over) })
	default:
		r.change(i, func(d *record) {
			d.step, d.timer = step, now+r.spec.SilentAfter.seconds()
			d.state = Updating
			if d.is(back) {
				d.state = Reverting
			}
		})
	}
}

func (e Answer) apply(r *Rollout, now int64) error {
	i, n := r.named(e.Device, e.Update)
	if n == 0 || r.spec.Consent == nil {
		return nil
	}
	d := &r.recs[i]
	if n != d.attempt || d.is(over|back|forced) {
		return nil
	}
	free := d.state == Asked || d.state == Agreed || d.state.inFlight() && d.step < stepRebooting
	switch {
	case e.Say == Yes && d.state == Asked:
		r.change(i, func(d *record) {
			d.set(consented)
			d.state, d.timer = Agreed, 0
		})
	case e.Say == Later && free:
		r.putOff(i, max(e.Until.Unix(), now+shortestDeferral))
	case e.Say == No && free && r.spec.Consent.Then == Skip:
		r.change(i, func(d *record) { d.dismiss(Declined, "") })
	case e.Say == No && free:
		r.putOff(i, r.recs[i].first+r.spec.Consent.Longest.seconds())
	}
	return nil
}

// putOff defers a device, not beyond the longest deferral.
func (r *Rollout) putOff(i int32, until int64) {
	r.change(i, func(d *record) {
		d.dismiss(Deferred, "")
		d.clear(consented | fresh)
		d.step = stepNone
		d.timer = min(until, d.first+r.spec.Consent.Longest.seconds())
	})
}

// patienceOver: a question was not answered, or a deferral has ended.
func (r *Rollout) patienceOver(d *record, now int64) {
	limit := d.first + r.spec.Consent.Longest.seconds()
	d.timer = 0
	switch {
	case now < limit:
		d.state = Waiting
	case r.spec.Consent.Then == Skip:
		d.dismiss(Declined, "")
	default:
		d.set(forced | consented)
		r.rest(d)
	}
}
