package rollout

import "cmp"

// entry is a device in a heap.
type entry struct {
	at  int64 // of a timer
	key uint64
	who int32
}

// heap holds devices, the first on top. It knows where each is, so that one can be taken
// out from the middle.
type heap struct {
	items []entry
	recs  *[]record
	slot  int // of record.places
}

// Slots of record.places.
const (
	slotQueue = iota
	slotTimer
	slotHeld
	slots
)

func (h *heap) len() int { return len(h.items) }

func (h *heap) less(a, b *entry) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.key != b.key {
		return a.key < b.key
	}
	return cmp.Less((*h.recs)[a.who].id, (*h.recs)[b.who].id)
}

func (h *heap) put(i int, e entry) {
	h.items[i] = e
	(*h.recs)[e.who].places[h.slot] = int32(i + 1)
}

func (h *heap) push(e entry) {
	h.items = append(h.items, e)
	h.up(len(h.items)-1, e)
}

// remove takes out the device; nothing happens if it is not there.
func (h *heap) remove(who int32) {
	i := int((*h.recs)[who].places[h.slot]) - 1
	if i < 0 {
		return
	}
	(*h.recs)[who].places[h.slot] = 0
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	if last.who == who {
		return
	}
	if i > 0 && h.less(&last, &h.items[(i-1)/4]) {
		h.up(i, last)
		return
	}
	h.down(i, last)
}

func (h *heap) up(i int, e entry) {
	for i > 0 {
		parent := (i - 1) / 4
		if !h.less(&e, &h.items[parent]) {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, e)
}

func (h *heap) down(i int, e entry) {
	for {
		first := 4*i + 1
		if first >= len(h.items) {
			break
		}
		best := first
		for c := first + 1; c < min(first+4, len(h.items)); c++ {
			if h.less(&h.items[c], &h.items[best]) {
				best = c
			}
		}
		if !h.less(&h.items[best], &e) {
			break
		}
		h.put(i, h.items[best])
		i = best
	}
	h.put(i, e)
}
