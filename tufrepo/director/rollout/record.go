package rollout

// record is what the engine knows of a device. Queues, timers and counts are made of it
// and of nothing else; see change.
type record struct {
	id     string
	reason string // for people and for logs: why it failed, or is excluded
	key    uint64 // phase, then position

	timer int64 // when something is due: silence, the end of a deferral; 0 for nothing
	until int64 // end of the window that it was directed in; 0 for none
	first int64 // first time that it was asked or directed; of the deferral's limit

	places  [slots]int32 // in the heaps and in held, from 1; 0 is nowhere
	flags   flags
	zone    uint16
	attempt uint16 // number of the last one; 0 before the first
	phase   int8   // -1 in none
	state   State
	step    uint8
	strikes uint8 // times it has fallen silent
}

type flags uint16

const (
	// fresh: the attempt has been asked for, and no direction was given in it.
	fresh flags = 1 << iota
	// over: the attempt has ended; nothing that is said of it counts but a commit.
	over
	// told: the device has a direction or question. owed: it must be taken back.
	told
	owed
	// consented: the people agreed, or are not asked any more.
	consented
	// forced: the longest deferral is over.
	forced
	// struck: it counts as failed although it is to try again, until it commits.
	struck
	// back: it is being rolled back, or was to be.
	back
	// busy: another rollout has it.
	busy
	// touched: it has changed since Changes.
	touched
)

// persisted flags.
const persisted = touched - 1

func (d *record) is(f flags) bool { return d.flags&f != 0 }
func (d *record) set(f flags)     { d.flags |= f }
func (d *record) clear(f flags)   { d.flags &^= f }

const positions = uint64(1)<<56 - 1

func (d *record) position() uint64 { return d.key & positions }

func (d *record) setPhase(phase int) {
	d.phase = int8(phase)
	d.key = uint64(phase+1)<<56 | d.position()
}

// bad and ended are the brake's terms.
func (d *record) bad() bool {
	return d.state == Failed || d.state == Silent || d.is(struck) && d.state.open()
}

func (d *record) ended() bool {
	return d.state == Staged || d.state == Committed || d.bad()
}

// due is when the device's timer goes off; 0 for never.
func (d *record) due() int64 {
	if d.until != 0 && d.state.inFlight() && d.step < stepRebooting && (d.timer == 0 || d.until < d.timer) {
		return d.until
	}
	return d.timer
}

// tally counts the devices of a phase.
type tally struct {
	states     [numStates]int
	busy       int // of those that are Waiting or Deferred
	bad, ended int
	all        int
}

func (t *tally) add(d *record, n int) {
	t.states[d.state] += n
	t.all += n
	if d.is(busy) && (d.state == Waiting || d.state == Deferred) {
		t.busy += n
	}
	if d.bad() {
		t.bad += n
	}
	if d.ended() {
		t.ended += n
	}
}

// size is the number of devices of which something is expected.
func (t *tally) size() int { return t.all - t.states[Excluded] - t.states[Declined] }

func (t *tally) good() int {
	return t.states[Staged] + t.states[Committed] + t.states[Already]
}

func (t *tally) open() (n int) {
	for s := range numStates {
		if s.open() {
			n += t.states[s]
		}
	}
	return n
}

// queue names for each device the queue that it stands in.
type queue int

const (
	nowhere queue = iota - 1
	forQuestion
	forZone // and the number of its zone
)

func (r *Rollout) queueOf(d *record) queue {
	switch {
	case d.is(busy) || d.phase < 0:
		return nowhere
	case r.head.Back && d.state == Committed:
		return forZone + queue(d.zone)
	case r.head.Back:
		return nowhere
	case d.state == Waiting && r.spec.asks() && !d.is(consented):
		return forQuestion
	case d.state == Waiting || d.state == Agreed:
		return forZone + queue(d.zone)
	}
	return nowhere
}

func (r *Rollout) heapOf(q queue) *heap {
	if q == forQuestion {
		return &r.questions
	}
	return &r.zones[q-forZone].heap
}

// change is the only way to change a record: f does, and everything that is made of the
// record follows.
func (r *Rollout) change(i int32, f func(d *record)) {
	d := &r.recs[i]
	q, due, owing := r.queueOf(d), d.due(), d.is(owed)
	r.tally(d).add(d, -1)
	f(d)
	r.tally(d).add(d, 1)
	r.place(i, q, due)
	if !d.is(touched) {
		d.set(touched)
		r.touched = append(r.touched, i)
	}
	if d.is(owed) && !owing {
		r.owed = append(r.owed, i)
	}
	r.brake(int(d.phase))
}

// place puts a device where its record says that it belongs; q and due are where it was.
func (r *Rollout) place(i int32, q queue, due int64) {
	d := &r.recs[i]
	if now := r.queueOf(d); now != q {
		if q != nowhere {
			r.heapOf(q).remove(i)
		}
		if now != nowhere {
			r.heapOf(now).push(entry{key: d.key, who: i})
		}
	}
	if now := d.due(); now != due {
		r.timers.remove(i)
		if now != 0 {
			r.timers.push(entry{at: now, key: d.key, who: i})
		}
	}
	if d.state.Holds() != (d.places[slotHeld] != 0) {
		r.hold(i)
	}
}

// hold puts a device into held, or takes it out.
func (r *Rollout) hold(i int32) {
	at := &r.recs[i].places[slotHeld]
	if *at == 0 {
		r.held = append(r.held, i)
		*at = int32(len(r.held))
		return
	}
	last := r.held[len(r.held)-1]
	r.held[*at-1], r.recs[last].places[slotHeld] = last, *at
	r.held = r.held[:len(r.held)-1]
	*at = 0
}

// tally of the device's phase.
func (r *Rollout) tally(d *record) *tally { return &r.tallies[d.phase+1] }
