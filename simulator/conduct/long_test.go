//go:build long

package conduct_test

import (
	"testing"

	"github.com/fairlead/fairlead/simulator/library"
)

// TestAllReadyScenarios carries each out at its own size, one after the other.
func TestAllReadyScenarios(t *testing.T) {
	for _, name := range library.Names() {
		t.Run(name, func(t *testing.T) {
			s, err := library.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if r := play(t, s); !r.OK() {
				t.Errorf("it did not hold: %+v %+v", r.Verdicts, r.Events)
			}
		})
	}
}
