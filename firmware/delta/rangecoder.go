package delta

import "encoding/binary"

// coder turns bits and their probabilities into bytes, or takes them back: a binary arithmetic coder with a range of 64
// bits, put out in words of 32, most significant byte first (G. N. N. Martin, "Range encoding", 1979). One piece of code
// drives it in both directions, so that the two cannot disagree: what it passes as a bit counts when encoding, what it
// gets back is the bit in either case.
type coder struct {
	encoding bool
	low      uint64 // encoding: the low end; decoding: the distance of the code from it
	rng      uint64
	out      []byte // encoding
	in       []byte // decoding: what is left
	over     int    // decoding: words taken after the end, which are zeros
}

func (c *coder) startEncoding(out []byte) {
	*c = coder{encoding: true, rng: 1<<64 - 1, out: out}
}

func (c *coder) startDecoding(in []byte) {
	*c = coder{rng: 1<<64 - 1, in: in}
	c.low = uint64(c.word())<<32 | uint64(c.word())
}

// bit codes a bit that is 1 with the probability p, in 2^-16, from 1 to 65535.
func (c *coder) bit(bit int, p uint32) int {
	bound := c.rng >> 16 * uint64(p)
	if c.encoding {
		if bit != 0 {
			c.rng = bound
		} else {
			c.add(bound)
			c.rng -= bound
		}
	} else if c.low < bound {
		c.rng, bit = bound, 1
	} else {
		c.low -= bound
		c.rng -= bound
		bit = 0
	}
	if c.rng < 1<<32 {
		c.shift()
	}
	return bit
}

// direct codes the low n bits of v, at most 63, without a model, 16 at a time, most significant first.
func (c *coder) direct(v uint64, n int) uint64 {
	var got uint64
	for n > 0 {
		k := min(n, 16)
		n -= k
		got = got<<k | c.plain(v>>n&(1<<k-1), k)
	}
	return got
}

// plain codes an integer of k bits, all of which are as likely.
func (c *coder) plain(v uint64, k int) uint64 {
	c.rng >>= k
	if c.encoding {
		c.add(v * c.rng)
	} else {
		v = min(c.low/c.rng, 1<<k-1)
		c.low -= v * c.rng
	}
	if c.rng < 1<<32 {
		c.shift()
	}
	return v
}

// add moves the low end up; a carry goes into what was put out.
func (c *coder) add(n uint64) {
	c.low += n
	if c.low < n {
		for i := len(c.out) - 1; ; i-- {
			c.out[i]++
			if c.out[i] != 0 {
				break
			}
		}
	}
}

func (c *coder) shift() {
	c.rng <<= 32
	if c.encoding {
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(c.low>>32))
		c.low <<= 32
	} else {
		c.low = c.low<<32 | uint64(c.word())
	}
}

func (c *coder) word() uint32 {
	if len(c.in) >= 4 {
		w := binary.BigEndian.Uint32(c.in)
		c.in = c.in[4:]
		return w
	}
	var b [4]byte
	if copy(b[:], c.in) == 0 {
		c.over++
	}
	c.in = nil
	return binary.BigEndian.Uint32(b[:])
}

// finish ends encoding with as few bytes as tell the rest: what a decoder reads after them counts as zeros.
func (c *coder) finish() []byte {
	free := uint64(1)<<63 - 1 // the most low bits that the range leaves free
	for free >= c.rng {
		free >>= 1
	}
	c.add(free)
	c.low &^= free
	certain := len(c.out)
	c.out = binary.BigEndian.AppendUint64(c.out, c.low)
	for len(c.out) > certain && c.out[len(c.out)-1] == 0 {
		c.out = c.out[:len(c.out)-1]
	}
	return c.out
}
