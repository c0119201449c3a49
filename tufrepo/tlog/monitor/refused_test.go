package monitor

import (
	"testing"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
)

// resume does with a state what a run does before it reads the log.
func resume(raw []byte) error {
	s, err := parseState(raw)
	if err != nil {
		return err
	}
	return (&run{old: s}).openTree()
}

func TestRefused(t *testing.T) {
	refusedtest.Run(t, 12, map[string]func(*testing.T, []byte) error{"state": func(_ *testing.T, body []byte) error { return resume(body) }})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"origin":"fw.example.com","size":0,"root":"` + zeros + `","range":[],"checkpoint":""}`))
	f.Add([]byte(`{"schema":1,"origin":"fw.example.com","size":3,"root":"` + zeros + `","range":["` + zeros + `","` + zeros + `"],"checkpoint":"x","unannounced":[{"index":1,"text":"y"}]}`))
	refusedtest.Seed(f, "state")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := resume(raw); err == nil {
			r := &run{}
			s, _ := parseState(raw)
			r.keepUnannounced(s.Unannounced)
			if len(r.report.Unannounced) > most {
				t.Errorf("%d entries", len(r.report.Unannounced))
			}
		}
	})
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
