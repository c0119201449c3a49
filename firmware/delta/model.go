package delta

// prob is an adaptive probability that a bit is 1: 22 bits of it, above 10 bits that count how often it was used. The
// first uses move it fast, later ones slowly (the state map of Mahoney's lpaq, 2007).
type prob uint32

const probHalf = prob(1 << 31)

// adapt[n] is 2^16 times the share of the error that a probability takes over at its n-th use.
var adapt = func() (a [1024]int32) {
	for n := range a {
		a[n] = 65536 * 2 / (2*int32(n) + 3)
	}
	return a
}()

// p is the probability in 2^-16, from 1 to 65535.
func (p prob) p() uint32 { return uint32(p)>>16 | 1 }

// update learns a bit. The limit bounds the count: the lower, the faster the past is forgotten.
func (p *prob) update(bit int, limit prob) {
	v := *p
	n := v & 1023
	err := int64(-bit)&(1<<32-1) - int64(v)
	v += prob(err * int64(adapt[n]) >> 16)
	if n < limit {
		n++
	}
	*p = v&^1023 | n
}

func newProbs(n int) []prob {
	p := make([]prob, n)
	clearProbs(p)
	return p
}

func clearProbs(p []prob) {
	for i := range p {
		p[i] = probHalf
	}
}

// codeTree codes an integer of n bits, most significant first, each by the bits before it; ps has 2^n probabilities.
func codeTree(c *coder, ps []prob, v, n int, limit prob) int {
	node := 1
	for i := n - 1; i >= 0; i-- {
		p := &ps[node]
		bit := c.bit(v>>i&1, p.p())
		p.update(bit, limit)
		node = node<<1 | bit
	}
	return node - 1<<n
}

// hashTo is a hash of x of that many bits.
func hashTo(x uint32, bits uint) uint32 {
	x *= 0x9E3779B1
	x ^= x >> 15
	return x * 0x85EBCA77 >> (32 - bits)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
