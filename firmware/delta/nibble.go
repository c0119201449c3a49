package delta

// nibble is an adaptive distribution of a symbol of 4 bits. Lane i of its 16 lanes of 16 bits, the lowest of the first word
// first, is how likely the symbols below i are, in 2^-14; lane 0, of which that would be 0, counts how often it was used. All
// lanes learn at once, within words of any machine (adaptive models for nibbles: Giesen, "Models for adaptive arithmetic
// coding", 2015, which has vectors for it).
type nibble [4]uint64

const (
	lane       = 1<<16 - 1
	lanes      = 0x0001_0001_0001_0001
	nibbleMost = 1<<14 - 128 // of any lane
	nibbleRoom = (1<<15 - 2*nibbleMost) / 16
)

// nibbleRates[n] says that a distribution moves by 2^-r at its n-th use, and by the last of them from then on.
var nibbleRates = [...]uint8{1, 1, 2, 2, 3, 3, 4}

// nibbleUp[r][s] is what a distribution that moves by 2^-r gains when s comes, nibbleEven how it begins, and nibbleLeast
// what is added to two of them, so that no symbol is impossible and all together are 2^15.
var nibbleUp, nibbleEven, nibbleLeast = func() (up [8][16]nibble, even, least nibble) {
	for i := range uint64(16) {
		word, at := i/4, i%4*16
		even[word] |= nibbleMost / 16 * i << at
		least[word] |= nibbleRoom * i << at
		for r := range up {
			for s := range i {
				up[r][s][word] |= (nibbleMost>>r - 1) << at
			}
		}
	}
	return up, even, least
}()

// clearNibbles makes all symbols as likely. The lower the count, the faster the first ones that come are learned.
func clearNibbles(ns []nibble, count uint64) {
	even := nibbleEven
	even[0] |= count
	for i := range ns {
		ns[i] = even
	}
}

// update learns a symbol.
func (n *nibble) update(symbol int) {
	count := min(n[0]&lane, uint64(len(nibbleRates)-1))
	r := nibbleRates[count] & 7
	keep := uint64(lanes) * (lane >> r)
	up := &nibbleUp[r][symbol&15]
	first := n[0] &^ lane
	n[0] = first - first>>r&keep + up[0] | (count + 1)
	n[1] += up[1] - n[1]>>r&keep
	n[2] += up[2] - n[2]>>r&keep
	n[3] += up[3] - n[3]>>r&keep
}

// nibble codes a symbol of 4 bits by the mean of two distributions, which learn it.
func (c *coder) nibble(symbol int, a, b *nibble) int {
	var below [5]uint64
	below[0] = a[0]&^lane + b[0]&^lane + nibbleLeast[0]
	below[1] = a[1] + b[1] + nibbleLeast[1]
	below[2] = a[2] + b[2] + nibbleLeast[2]
	below[3] = a[3] + b[3] + nibbleLeast[3]
	below[4] = 1 << 15
	unit := c.rng >> 15
	if !c.encoding {
		// The top bit of a lane stays where the code is not below it; there are as many as symbols up to this one.
		code := min(c.low/unit, 1<<15-1)*lanes | lanes<<15
		n := (code-below[0])>>15&lanes + (code-below[1])>>15&lanes + (code-below[2])>>15&lanes + (code-below[3])>>15&lanes
		symbol = int(n*lanes>>48) - 1
	}
	symbol &= 15
	from := below[symbol>>2] >> (symbol & 3 * 16) & lane
	to := below[(symbol+1)>>2] >> ((symbol + 1) & 3 * 16) & lane
	if c.encoding {
		c.add(from * unit)
	} else {
		c.low -= from * unit
	}
	c.rng = (to - from) * unit
	if c.rng < 1<<32 {
		c.shift()
	}
	a.update(symbol)
	b.update(symbol)
	return symbol
}

// byteModel codes bytes as two symbols, the high one first, each by two contexts of 8 bits.
type byteModel struct {
	high, low [2][]nibble
}

// byteStart is the count of the distributions of bytes at first: they are of many kinds, so none is to be believed soon.
const byteStart = 5

func newByteModel() *byteModel {
	return &byteModel{
		high: [2][]nibble{make([]nibble, 1<<8), make([]nibble, 1<<8)},
		low:  [2][]nibble{make([]nibble, 1<<12), make([]nibble, 1<<12)},
	}
}

func (m *byteModel) reset() {
	for i := range 2 {
		clearNibbles(m.high[i], byteStart)
		clearNibbles(m.low[i], byteStart)
	}
}

func (m *byteModel) code(c *coder, v byte, a, b uint32) byte {
	high := c.nibble(int(v>>4), &m.high[0][a], &m.high[1][b])
	low := c.nibble(int(v&15), &m.low[0][a<<4|uint32(high)], &m.low[1][b<<4|uint32(high)])
	return byte(high<<4 | low)
}
