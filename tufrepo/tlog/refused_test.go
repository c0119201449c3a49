package tlog_test

import (
	"testing"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Log policies, proofs of the entry leaf.json by policy.txt, and entries.
func TestRefused(t *testing.T) {
	readers := map[string]func(*testing.T, []byte) error{
		"policy": func(_ *testing.T, body []byte) error { _, err := tlog.ParsePolicy(body); return err },
		"leaf":   func(_ *testing.T, body []byte) error { _, err := tlog.ParseLeaf(body); return err },
		"proof": func(t *testing.T, body []byte) error {
			policy, err := tlog.ParsePolicy([]byte(refusedtest.Read(t, "testdata/policy.txt")))
			if err != nil {
				t.Fatal(err)
			}
			_, err = policy.Verify([]byte(refusedtest.Read(t, "testdata/leaf.json")), body)
			return err
		},
	}
	refusedtest.Run(t, 50, readers)
	for kind, good := range map[string]string{"policy": "policy.txt", "proof": "cam-1.0.0.tlog-proof", "leaf": "leaf.json"} {
		if err := readers[kind](t, []byte(refusedtest.Read(t, "testdata/"+good))); err != nil {
			t.Errorf("the good one is refused: %v", err)
		}
	}
}
