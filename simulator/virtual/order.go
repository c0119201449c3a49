package virtual

import (
	"time"

	"github.com/fairlead/fairlead/simulator/report"
)

// childEnv holds an order, in JSON, in the environment of a child.
const childEnv = "FAIRLEAD_SIM_VIRTUAL"

// order is what a child is to carry out.
type order struct {
	Scenario string        `json:"scenario"` // YAML
	Dir      string        `json:"dir"`      // empty, for everything that the run makes
	Every    time.Duration `json:"every"`    // as conduct.Options has it
	Version  string        `json:"version"`
}

// word is what a child says.
type word struct {
	Say    string         `json:"say,omitempty"`
	Sample *report.Sample `json:"sample,omitempty"`
	Run    *report.Run    `json:"run,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// Began is the moment at which every virtual run begins.
var Began = time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)
