package delta

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// The tables are part of the format: the same on every machine, for ever.
func TestTables(t *testing.T) {
	for i := 2048; i < 4096; i++ {
		p := (float64(i) + 0.5) / 4096
		if want := int32(256 * math.Log(p/(1-p))); logit[i] < want-1 || logit[i] > want+1 || logit[4095-i] != -logit[i] {
			t.Errorf("logit of %d is %d, want about %d", i, logit[i], want)
		}
	}
	for x := -2047; x <= 2047; x++ {
		want := 65536 / (1 + math.Exp(-float64(x)/256))
		if got := float64(odds[x+2048]); math.Abs(got-want) > 1.01 {
			t.Errorf("odds of %d are %v, want about %v", x, got, want)
		}
	}
	var b []byte
	for _, table := range []any{logit[:], odds[:], adapt[:]} {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, table); err != nil {
			t.Fatal(err)
		}
	}
	if got := firmware.Sum(b).String(); got != tables {
		t.Errorf("SHA-256 of the tables is %s, want %s", got, tables)
	}
}

const tables = "302e205f22c05f817e6abd0415b64114a29be52cb47a1060e134c69721ceaaee"
