package witness

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// knownLog is the log whose checkpoint state.txt is.
func knownLog(t testing.TB) tlog.Log {
	t.Helper()
	p, err := tlog.ParsePolicy([]byte("log " + strings.TrimSpace(refusedtest.Read(t, "testdata/log.vkey")) + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Logs[0]
}

// What a witness has kept of a log, and what it is asked.
func TestRefused(t *testing.T) {
	log := knownLog(t)
	readers := map[string]func(*testing.T, []byte) error{
		"state":   func(_ *testing.T, body []byte) error { _, err := new(Witness).verify(log, body); return err },
		"request": func(_ *testing.T, body []byte) error { _, err := ParseRequest(body); return err },
	}
	refusedtest.Run(t, 25, readers)
	for kind, read := range readers {
		if err := read(t, []byte(refusedtest.Read(t, "testdata/"+kind+".txt"))); err != nil {
			t.Errorf("the good one is refused: %v", err)
		}
	}
}

// FuzzState: nothing is taken for a checkpoint of the log but the one that it has signed.
func FuzzState(f *testing.F) {
	log := knownLog(f)
	f.Add([]byte(refusedtest.Read(f, "testdata/state.txt")))
	refusedtest.Seed(f, "state")
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := new(Witness).verify(log, raw)
		if err == nil && (c.Origin != log.Origin || c.Size != 8 || c.Root.String()[:8] != "24d1ee82") {
			t.Errorf("forged %+v", c)
		}
	})
}
