package rollout

import "fmt"

const (
	// maxAttempts is how often a device is directed before it is given up.
	maxAttempts = 1000
	// maxStrikes is how often a device may fall silent before only Retry helps.
	maxStrikes = 3
)

// end brings a device to an end of its own.
func (d *record) end(s State, reason string) {
	d.state, d.reason, d.timer, d.until = s, reason, 0, 0
	d.set(over)
	d.clear(fresh)
	if s.good() {
		d.clear(struck)
	}
}

// takeBack makes the direction or question that the device has, if it has one, owed.
func (d *record) takeBack() {
	if d.is(told) {
		d.set(owed)
	}
}

// dismiss ends what a device has begun by taking its direction or question back.
func (d *record) dismiss(s State, reason string) {
	d.takeBack()
	d.end(s, reason)
}

// requeue takes the direction or question back, and the device waits again. The clock of
// its silence goes on if it has never answered and patience ends.
func (r *Rollout) requeue(d *record, patience bool) {
	if patience || d.step > stepNone {
		d.timer = 0
	}
	d.takeBack()
	d.clear(fresh)
	d.until, d.step = 0, stepNone
	r.rest(d)
}

// rest puts a device into the state of one that may be directed. Only while the rollout
// goes forward, and has the device for itself, somebody's consent holds it.
func (r *Rollout) rest(d *record) {
	switch {
	case d.is(back):
		d.state = Committed
	case d.is(consented) && !d.is(busy) && !r.head.Back && !r.head.Run.over():
		d.state = Agreed
	default:
		d.state = Waiting
	}
}

// silence: the deadline has passed without a step.
func (d *record) silence() {
	d.takeBack()
	d.set(struck)
	d.strikes = min(d.strikes+1, maxStrikes)
	d.state, d.timer, d.until = Silent, 0, 0
}

func (e Facts) apply(r *Rollout, now int64) error {
	i, known := r.index[e.Device.ID]
	if !known {
		if e.Device.ID != "" && now < seconds(r.spec.OpenUntil) && !r.head.Run.over() && !r.head.Back {
			r.join(e.Device)
		}
		return nil
	}
	if z, err := r.zoneOf(e.Device.Zone); err == nil && z != r.recs[i].zone {
		r.change(i, func(d *record) { d.zone = z })
	}
	switch s, why := r.judge(e.Device); {
	case r.head.Back && (r.recs[i].state == Committed || r.recs[i].state == Reverting):
		r.movedOn(i, e.Device)
	case s == Already:
		r.arrived(i, e.Device)
	case s == Excluded:
		r.exclude(i, why)
	default:
		r.admit(i, e.Device.Group)
	}
	return nil
}

// join takes in a device that was not there at the beginning.
func (r *Rollout) join(dev Device) {
	i := r.enter(dev)
	d := &r.recs[i]
	if d.state == Waiting {
		r.choosePhase(d, dev.Group)
	}
	r.tally(d).add(d, 1)
	r.place(i, nowhere, 0)
}

func (r *Rollout) choosePhase(d *record, group string) {
	p := r.latePhase(d, group)
	d.setPhase(p)
	if p < 0 {
		d.state, d.reason = Excluded, NoPhase
	}
}

// arrived: the device has committed the release, or one above it. A counter rises with the
// device's own commit only.
func (r *Rollout) arrived(i int32, dev Device) {
	d := &r.recs[i]
	if d.state == Committed || d.state == Already || d.state == Reverted || d.is(back) {
		return
	}
	to := Already
	if d.attempt > 0 && dev.Version == r.setup.Release.Version {
		to = Committed
	}
	r.change(i, func(d *record) { d.dismiss(to, "") })
}

// movedOn: what a device runs while the rollout rolls back.
func (r *Rollout) movedOn(i int32, dev Device) {
	to := r.setup.Fallback
	switch {
	case dev.Unfit != "":
		r.change(i, func(d *record) { d.dismiss(Excluded, dev.Unfit) })
	case dev.Counter >= to.Counter && dev.Version == to.Version:
		r.change(i, func(d *record) { d.dismiss(Reverted, "") })
	case dev.Counter > to.Counter:
		r.change(i, func(d *record) { d.dismiss(Already, "") })
	}
}

// exclude: the device cannot take part any more.
func (r *Rollout) exclude(i int32, why string) {
	d := &r.recs[i]
	if d.state.open() || d.state == Silent || d.state == Declined || d.state == Excluded && d.reason != why {
		r.change(i, func(d *record) { d.dismiss(Excluded, why) })
	}
}

// admit: the device can take part again.
func (r *Rollout) admit(i int32, group string) {
	d := &r.recs[i]
	again := d.state == Excluded && d.reason != NoPhase || d.state == Already && d.attempt == 0
	if !again || r.head.Run.over() || r.head.Back {
		return
	}
	r.change(i, func(d *record) {
		d.state, d.reason, d.strikes, d.first = Waiting, "", 0, 0
		d.clear(consented | forced | struck)
		if d.phase < 0 {
			r.choosePhase(d, group)
		}
	})
}

func (e Taken) apply(r *Rollout, _ int64) error {
	i, ok := r.index[e.Device]
	if !ok || r.recs[i].is(busy) {
		return nil
	}
	if s := r.recs[i].state; s.Holds() {
		return fmt.Errorf("device %s is %s here: no other rollout may have it", e.Device, s)
	}
	r.change(i, func(d *record) { d.set(busy) })
	return nil
}

func (e Freed) apply(r *Rollout, _ int64) error {
	if i, ok := r.index[e.Device]; ok && r.recs[i].is(busy) {
		r.change(i, func(d *record) { d.clear(busy) })
	}
	return nil
}

func (e Seen) apply(r *Rollout, _ int64) error {
	i, ok := r.index[e.Device]
	if ok && r.recs[i].state == Silent && r.recs[i].strikes < maxStrikes && !r.head.Run.over() {
		r.change(i, func(d *record) {
			d.set(over)
			d.step = stepNone
			r.rest(d)
		})
	}
	return nil
}
