package rollout

import (
	"math"
	"time"
)

// ask asks whoever's phase has begun; false if there is more.
func (t *turn) ask() bool {
	r := t.r
	for r.head.Run == Running && r.begun(&r.questions) {
		if t.full() {
			return false
		}
		i := r.questions.items[0].who
		if !t.attempt(i) {
			continue
		}
		r.change(i, func(d *record) {
			d.set(fresh)
			d.state, d.timer = Asked, d.first+r.spec.Consent.Longest.seconds()
		})
		t.add(t.action(OpAsk, i, r.spec.Kind))
	}
	return true
}

// begun says whether the phase of the first device in the queue has begun.
func (r *Rollout) begun(h *heap) bool {
	return h.len() > 0 && int(r.recs[h.items[0].who].phase) <= r.head.Phase
}

// attempt begins a new attempt; false if the device has had too many and was given up.
func (t *turn) attempt(i int32) bool {
	if t.r.recs[i].attempt >= maxAttempts {
		t.r.change(i, func(d *record) { d.end(Failed, "too_many_attempts") })
		return false
	}
	t.r.change(i, func(d *record) {
		d.attempt++
		d.clear(over)
		d.set(told)
		d.step, d.reason = stepNone, ""
		if d.first == 0 {
			d.first = t.now
		}
	})
	return true
}

func (t *turn) action(op Op, i int32, kind Kind) Action {
	d := &t.r.recs[i]
	return Action{Op: op, Device: d.id, Update: UpdateName(t.r.setup.ID, d.id, int(d.attempt)), Kind: kind,
		Until: instant(d.until), Phase: t.r.spec.Phases[d.phase].Name}
}

// direct directs devices in their order, or back, as far as windows and limits allow;
// false if there is more.
func (t *turn) direct() bool {
	r := t.r
	if r.head.Run != Running && r.head.Run != RollingBack {
		return true
	}
	quota, _ := r.pace.left(t.now, r.spec.PerMinute)
	if r.spec.InFlight > 0 {
		quota = min(quota, r.spec.InFlight-r.inFlight())
	}
	for ; quota > 0; quota-- {
		z, until := t.firstZone()
		if z == nil {
			return true
		}
		if t.full() {
			return false
		}
		t.directOne(z.heap.items[0].who, until)
		if r.head.Run != Running && r.head.Run != RollingBack {
			return false
		}
	}
	return true
}

// firstZone finds the zone, of those with an open window, whose first device comes first.
func (t *turn) firstZone() (first *zone, until int64) {
	for n := range t.r.zones {
		z := &t.r.zones[n]
		if !t.r.begun(&z.heap) || first != nil && !z.heap.less(&z.heap.items[0], &first.heap.items[0]) {
			continue
		}
		if open, to := z.calendar.at(t.now); open {
			first, until = z, to
		}
	}
	return first, until
}

func (t *turn) directOne(i int32, until int64) {
	r, kind, op := t.r, t.r.spec.Kind, OpDirect
	if d := &r.recs[i]; !d.is(fresh) && !t.attempt(i) {
		return
	}
	if r.recs[i].is(forced) {
		kind = Forced
	}
	if r.head.Back {
		kind, op = Forced, OpRollBack
	}
	r.change(i, func(d *record) {
		d.clear(fresh)
		d.state, d.until = Directed, until
		if r.head.Back {
			d.set(back)
			d.state = Reverting
		}
		if d.timer == 0 {
			d.timer = t.now + r.spec.SilentAfter.seconds()
		}
	})
	r.pace.add(t.now)
	t.add(t.action(op, i, kind))
}

func (r *Rollout) inFlight() (n int) {
	for i := range r.tallies {
		s := &r.tallies[i].states
		n += s[Directed] + s[Updating] + s[Reverting]
	}
	return n
}

// next is when Step may have something to do, if nothing happens before.
func (t *turn) next() time.Time {
	r, next := t.r, int64(math.MaxInt64)
	sooner := func(at int64) {
		if at > t.now {
			next = min(next, at)
		}
	}
	if r.timers.len() > 0 {
		next = max(r.timers.items[0].at, t.now)
	}
	switch r.head.Run {
	case Scheduled:
		sooner(seconds(r.spec.Start))
	case Running, RollingBack:
		if p := r.head.Phase; p >= 0 && r.head.Phases[p].Passed != 0 {
			sooner(r.head.Phases[p].Passed + r.spec.Phases[p].Soak.seconds())
		}
		sooner(seconds(r.spec.OpenUntil))
		sooner(t.room())
	}
	if next == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(next, 0).UTC()
}

// room is when a device that waits for its window or for the pace may be directed; 0 for
// none, or if it waits for another to end.
func (t *turn) room() (at int64) {
	r := t.r
	if r.spec.InFlight > 0 && r.inFlight() >= r.spec.InFlight {
		return 0
	}
	_, again := r.pace.left(t.now, r.spec.PerMinute)
	for n := range r.zones {
		z := &r.zones[n]
		if !r.begun(&z.heap) {
			continue
		}
		when := again
		if open, to := z.calendar.at(t.now); !open {
			when = to
		}
		if at == 0 || when < at {
			at = when
		}
	}
	return at
}
