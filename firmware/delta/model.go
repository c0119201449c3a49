package delta

import "math/bits"

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

// logit[p] is 256 times the logarithm of the odds of a probability of p+1/2 in 2^-12, rounded towards 0; odds is the inverse
// of that, from -2047 to 2047 and shifted by 2048, in 2^-16. They are made of integers alone, so that they are the same on
// every machine.
var logit, odds = func() (l [4096]int32, o [4096]uint32) {
	const one, step = 1 << 48, 282576638621015 // step is exp(1/256)
	power := uint64(one)                       // exp(k/256) times one
	for k, i := 0, 2048; i < 4096; k++ {
		if k < 2048 {
			hi, lo := bits.Mul64(power, 1<<16)
			q, _ := bits.Div64(hi, lo, power+one)
			o[2048+k], o[2048-k] = uint32(q), 1<<16-uint32(q)
		}
		hi, lo := bits.Mul64(power, step)
		power = hi<<16 | lo>>48
		for i < 4096 && below(uint64(2*i+1), one, power, uint64(8191-2*i)) {
			l[i], l[4095-i] = int32(k), -int32(k)
			i++
		}
	}
	return l, o
}()

// below reports whether a times b is less than x times y.
func below(a, b, x, y uint64) bool {
	h1, l1 := bits.Mul64(a, b)
	h2, l2 := bits.Mul64(x, y)
	return h1 < h2 || h1 == h2 && l1 < l2
}

// mixInputs is how many probabilities a mixer weighs.
const mixInputs = 4

// mixer weighs what several probabilities say of one bit, in the domain of their logits, and learns the weights
// (Mahoney, "Adaptive weighing of context models", 2005).
type mixer [][mixInputs]int32 // weights in 2^-16, for each set

func newMixer(sets int) mixer {
	m := make(mixer, sets)
	m.reset()
	return m
}

func (m mixer) reset() {
	for i := range m {
		m[i] = [mixInputs]int32{mixStart, mixStart, mixStart, mixStart}
	}
}

const mixStart = 65536 / 2

// code codes a bit by four probabilities and the given set of weights.
func (m mixer) code(c *coder, bit int, set uint32, limit prob, a, b, d, e *prob) int {
	w := &m[set]
	xa, xb, xd, xe := logit[*a>>20], logit[*b>>20], logit[*d>>20], logit[*e>>20]
	dot := int64(w[0])*int64(xa) + int64(w[1])*int64(xb) + int64(w[2])*int64(xd) + int64(w[3])*int64(xe)
	p := odds[min(max(dot>>16, -2047), 2047)+2048]
	bit = c.bit(bit, p)
	err := int32(bit<<16) - int32(p)
	w[0] += xa * err >> 15
	w[1] += xb * err >> 15
	w[2] += xd * err >> 15
	w[3] += xe * err >> 15
	a.update(bit, limit)
	b.update(bit, limit)
	d.update(bit, limit)
	e.update(bit, limit)
	return bit
}

// byteModel codes bytes, most significant bit first, each bit by four contexts.
type byteModel struct {
	probs [4][]prob // by the first context as it is, and by hashes of the others
	mix   mixer     // a set for each node of the tree of the bits, of which the root is 1
}

const byteBits = 13

func newByteModel(sets int) *byteModel {
	m := &byteModel{mix: newMixer(256 * sets)}
	for i := range m.probs {
		m.probs[i] = newProbs(1 << byteBits)
	}
	m.probs[0] = newProbs(1 << 16)
	return m
}

func (m *byteModel) reset() {
	for i := range m.probs {
		clearProbs(m.probs[i])
	}
	m.mix.reset()
}

// code codes a byte. The first context has 8 bits, the others are hashed.
func (m *byteModel) code(c *coder, v byte, set uint32, contexts [4]uint32) byte {
	p0 := m.probs[0][contexts[0]<<8:][:256]
	h1, h2, h3 := hashTo(contexts[1], byteBits), hashTo(contexts[2], byteBits), hashTo(contexts[3], byteBits)
	p1, p2, p3 := m.probs[1][:1<<byteBits], m.probs[2][:1<<byteBits], m.probs[3][:1<<byteBits]
	node := uint32(1)
	for i := 7; i >= 0; i-- {
		at := node * 0x9E35 & (1<<byteBits - 1) // lays the nodes over what all contexts share
		bit := m.mix.code(c, int(v>>i&1), set<<8|node, byteLimit, &p0[node], &p1[h1^at], &p2[h2^at], &p3[h3^at])
		node = node<<1 | uint32(bit)
	}
	return byte(node)
}

const byteLimit = 255

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
