package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// position is a device's place in a rollout's order, in 0..2^56-1. It depends on both
// names and on nothing else, so the same devices are not first every time, and one that
// joins later has its place already.
func position(rollout, device string) uint64 {
	sum := digest("order", rollout, device, 0)
	return binary.BigEndian.Uint64(sum[:]) >> 8
}

// UpdateName is the name of a device's attempt number attempt, 1 and up, within a
// rollout: a UUID, the same whenever it is asked for.
func UpdateName(rollout, device string, attempt int) string {
	u := updateName(rollout, device, uint16(attempt))
	return string(u[:])
}

// updateName is a UUID of version 8, the attempt in its last two bytes.
func updateName(rollout, device string, attempt uint16) (text [36]byte) {
	u := digest("update", rollout, device, attempt)
	binary.BigEndian.PutUint16(u[14:], attempt)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	var digits [32]byte
	hex.Encode(digits[:], u[:16])
	text = [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	copy(text[:], digits[:8])
	copy(text[9:], digits[8:12])
	copy(text[14:], digits[12:16])
	copy(text[19:], digits[16:20])
	copy(text[24:], digits[20:])
	return text
}

// attemptOf reads the attempt out of an update's name; false for what is not a name of
// this device in this rollout.
func attemptOf(rollout, device, update string) (attempt uint16, ok bool) {
	if len(update) != 36 {
		return 0, false
	}
	n, err := strconv.ParseUint(update[32:], 16, 16)
	if err != nil || n == 0 {
		return 0, false
	}
	u := updateName(rollout, device, uint16(n))
	return uint16(n), update == string(u[:])
}

func digest(what, rollout, device string, n uint16) [sha256.Size]byte {
	b := make([]byte, 0, 160)
	b = append(append(append(b, what...), 0), rollout...)
	b = append(append(append(b, 0), device...), 0)
	b = binary.BigEndian.AppendUint16(b, n)
	return sha256.Sum256(b)
}

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
