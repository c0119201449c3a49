package main

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo"
)

// Whoever publishes learns of a witness that is missing before it is one too many.
func TestMissedWitnessesAreNamed(t *testing.T) {
	var out strings.Builder
	writePublished(&out, tufrepo.Published{Logged: 1, LogSize: 7, Missed: []tufrepo.MissedWitness{{Witness: "partner", Why: "it answers 404"}}})
	if !strings.Contains(out.String(), "witness partner has not cosigned: it answers 404\n") {
		t.Error(out.String())
	}
}
