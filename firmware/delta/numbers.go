package delta

import "math/bits"

// numbers codes integers of 0 and more: how many bits they have, the three highest below the first, and the rest as it is.
type numbers struct {
	size []prob // 64
	high []prob // 8 for each size
}

func newNumbers() numbers { return numbers{newProbs(64), newProbs(64 * 8)} }

func (n *numbers) reset() {
	clearProbs(n.size)
	clearProbs(n.high)
}

func (n *numbers) code(c *coder, v uint64) uint64 {
	size := codeTree(c, n.size, bits.Len64(v), 6, numberLimit)
	if size <= 1 {
		return uint64(size)
	}
	low := size - 1 // bits below the highest
	high := min(low, 3)
	low -= high
	h := codeTree(c, n.high[size*8:], int(v>>low&(1<<high-1)), high, numberLimit)
	return (1<<high|uint64(h))<<low | c.direct(v&(1<<low-1), low)
}

const numberLimit = 127

// zigzag maps integers near 0, of either sign, to small ones.
func zigzag(v int64) uint64   { return uint64(v<<1 ^ v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
