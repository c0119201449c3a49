package delta

import (
	"encoding/binary"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// The tables are part of the format: the same on every machine, for ever.
func TestTables(t *testing.T) {
	var b []byte
	for _, table := range []any{adapt[:], nibbleRates[:], nibbleUp[1:5], nibbleEven[:], nibbleLeast[:]} {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, table); err != nil {
			t.Fatal(err)
		}
	}
	if got := firmware.Sum(b).String(); got != tables {
		t.Errorf("SHA-256 of the tables is %s, want %s", got, tables)
	}
}

const tables = "6222dfbc2c37634f29e622a9f9f1236599f8c0c02d2028ce551827c557a286c7"

// Whatever comes, the lanes of a distribution grow from one to the next, none is above nibbleMost, and two of them with what is
// added leave room for each symbol.
func TestNibbleStaysADistribution(t *testing.T) {
	n := nibbleEven
	for i, x := 0, uint32(1); i < 100_000; i++ {
		x = x*1664525 + 1013904223
		n.update(int(x >> 24 & x >> 28 & 15)) // now one symbol often, then another
		if i/1000%2 == 0 {
			n.update(i / 2000 % 16)
		}
		checkLanes(t, n)
	}
}

func checkLanes(t *testing.T, n nibble) {
	t.Helper()
	last := uint64(0)
	for i := 1; i < 16; i++ {
		v := n[i/4] >> (i % 4 * 16) & lane
		if v < last || v > nibbleMost {
			t.Fatalf("lane %d is %d after %d: %x", i, v, last, n)
		}
		last = v
	}
	if room := uint64(1<<15) - 2*nibbleMost - 15*nibbleRoom; room < 1 {
		t.Fatalf("room of the last symbol is %d", room)
	}
}

// What one distribution expects takes few bits, whichever symbol it is.
func TestNibbleLearns(t *testing.T) {
	for s := range 16 {
		var c coder
		c.startEncoding(nil)
		a, b := nibbleEven, nibbleEven
		for range 1000 {
			c.nibble(s, &a, &b)
		}
		out := c.finish()
		if len(out) > 20 {
			t.Errorf("1000 times %d take %d bytes", s, len(out))
		}
		c.startDecoding(out)
		a, b = nibbleEven, nibbleEven
		for i := range 1000 {
			if got := c.nibble(0, &a, &b); got != s {
				t.Fatalf("symbol %d is %d, want %d", i, got, s)
			}
		}
	}
}

// A code beyond what all symbols share of the range, as only foreign bytes have it, is the last symbol's.
func TestNibbleOfForeignCode(t *testing.T) {
	a, b := nibbleEven, nibbleEven
	c := coder{rng: 1<<64 - 1, low: 1<<64 - 2}
	if got := c.nibble(0, &a, &b); got != 15 {
		t.Errorf("symbol %d, want 15", got)
	}
}
