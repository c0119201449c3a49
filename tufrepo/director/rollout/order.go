package rollout

import (
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
