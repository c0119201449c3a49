package rollout

import (
	"cmp"
	"slices"
)

// Reasons why a device is Excluded; Device.Unfit has others.
const (
	WrongProduct  = "wrong_product"
	WrongHardware = "wrong_hardware"
	UnknownZone   = "unknown_zone"
	NoPhase       = "no_phase" // no phase of the plan takes it
)

// judge says what a device is to the rollout, phases apart: Waiting, Already or Excluded.
func (r *Rollout) judge(d Device) (State, string) {
	rel := r.setup.Release
	switch {
	case d.Unfit != "":
		return Excluded, d.Unfit
	case d.Product != rel.Product:
		return Excluded, WrongProduct
	case !slices.Contains(rel.Hardware, d.Hardware):
		return Excluded, WrongHardware
	case d.Counter > rel.Counter || d.Counter == rel.Counter && d.Version == rel.Version:
		return Already, ""
	}
	if _, err := r.zoneOf(d.Zone); err != nil {
		return Excluded, UnknownZone
	}
	return Waiting, ""
}

// enter adds a device, in no phase yet, without its counts and queues.
func (r *Rollout) enter(dev Device) int32 {
	d := record{id: dev.ID, key: position(r.setup.ID, dev.ID), flags: touched}
	d.state, d.reason = r.judge(dev)
	if d.reason != UnknownZone {
		d.zone, _ = r.zoneOf(dev.Zone)
	}
	if dev.Busy {
		d.set(busy)
	}
	d.setPhase(-1)
	i := int32(len(r.recs))
	r.recs = append(r.recs, d)
	r.index[dev.ID] = i
	r.touched = append(r.touched, i)
	return i
}

// assign sorts the devices that wait into phases; groups are those of recs.
func (r *Rollout) assign(groups []string) {
	order := make([]entry, 0, len(r.recs))
	for i := range r.recs {
		if d := &r.recs[i]; d.state == Waiting {
			order = append(order, entry{key: d.key, who: int32(i)})
		}
	}
	r.sort(order)
	for p, phase := range r.spec.Phases {
		bound, left := share(len(order), phase.Percent), cmp.Or(phase.Count, len(order))
		for rank, e := range order {
			d := &r.recs[e.who]
			if left == 0 || phase.Percent != 0 && rank >= bound {
				break
			}
			if d.phase < 0 && (len(phase.Groups) == 0 || phase.takes(groups[e.who])) {
				d.setPhase(p)
				left--
			}
		}
	}
	for _, e := range order {
		if d := &r.recs[e.who]; d.phase < 0 {
			d.state, d.reason = Excluded, NoPhase
		}
	}
}

// sort puts devices into their order.
func (r *Rollout) sort(list []entry) {
	slices.SortFunc(list, func(a, b entry) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(r.recs[a.who].id, r.recs[b.who].id)
	})
}

// sorted is who, in their order.
func (r *Rollout) sorted(who []int32) []entry {
	list := make([]entry, len(who))
	for n, i := range who {
		list[n] = entry{key: r.recs[i].key, who: i}
	}
	r.sort(list)
	return list
}

// share is percent of n, rounded up.
func share(n, percent int) int { return (n*percent + 99) / 100 }

// latePhase is the phase of a device that was not sorted at the beginning: by its group,
// or by its position alone. A phase that takes a number of devices has had them. -1 for none.
func (r *Rollout) latePhase(d *record, group string) int {
	for p, phase := range r.spec.Phases {
		switch {
		case phase.Count != 0:
		case d.position()*100 < uint64(phase.Percent)<<56, phase.takes(group):
			return p
		}
	}
	return -1
}
