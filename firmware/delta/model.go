package delta

import "math"

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

// logit[p] is 256 times the logarithm of the odds of a probability of p in 2^-12; odds is the inverse of that, from -2047
// to 2047 and shifted by 2048, in 2^-16.
var logit, odds = func() (l [4096]int32, o [4096]uint32) {
	for i := range l {
		p := (float64(i) + 0.5) / 4096
		l[i] = int32(math.Round(256 * math.Log(p/(1-p))))
	}
	for i := range o {
		p := 65536 / (1 + math.Exp(-float64(i-2048)/256))
		o[i] = uint32(min(max(p, 16), 65520))
	}
	return l, o
}()

// mixInputs is how many probabilities a mixer weighs.
const mixInputs = 6

// mixer weighs what several probabilities say of one bit, in the domain of their logits, and learns the weights
// (Mahoney, "Adaptive weighing of context models", 2005).
type mixer struct {
	probs  [mixInputs]*prob
	weight [][mixInputs]int32 // for each set, in 2^-16
}

func newMixer(sets int) *mixer {
	m := &mixer{weight: make([][mixInputs]int32, sets)}
	m.reset()
	return m
}

func (m *mixer) reset() {
	for i := range m.weight {
		for j := range m.weight[i] {
			m.weight[i][j] = 65536 * 2 / 5
		}
	}
}

// code codes a bit by the probabilities in m.probs and the given set of weights.
func (m *mixer) code(c *coder, bit int, set uint32, limit prob) int {
	w := &m.weight[set]
	x0, x1, x2 := logit[*m.probs[0]>>20], logit[*m.probs[1]>>20], logit[*m.probs[2]>>20]
	x3, x4, x5 := logit[*m.probs[3]>>20], logit[*m.probs[4]>>20], logit[*m.probs[5]>>20]
	dot := int64(w[0])*int64(x0) + int64(w[1])*int64(x1) + int64(w[2])*int64(x2) +
		int64(w[3])*int64(x3) + int64(w[4])*int64(x4) + int64(w[5])*int64(x5)
	p := odds[min(max(dot>>16, -2047), 2047)+2048]
	bit = c.bit(bit, p)
	err := int32(bit<<16) - int32(p)
	w[0] += x0 * err >> 15
	w[1] += x1 * err >> 15
	w[2] += x2 * err >> 15
	w[3] += x3 * err >> 15
	w[4] += x4 * err >> 15
	w[5] += x5 * err >> 15
	for _, p := range m.probs {
		p.update(bit, limit)
	}
	return bit
}
