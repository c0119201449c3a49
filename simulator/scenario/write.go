package scenario

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Text is the scenario as a file that [Parse] reads back to the same, with its defaults filled in.
func (s *Scenario) Text() ([]byte, error) {
	b, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the scenario: %w", err)
	}
	return b, nil
}

// Change is what a command line may say otherwise than the file; zero fields leave the file's word.
type Change struct {
	Seed    uint64
	Units   int
	Over    string
	Virtual bool // in the place of real time
}

// With is the scenario with a change. Its error is of the kind ErrInvalid.
func (s *Scenario) With(c Change) (*Scenario, error) {
	out := *s
	if c.Seed != 0 {
		out.Seed = c.Seed
	}
	if c.Units != 0 {
		out.Units = c.Units
	}
	if c.Virtual {
		out.Time, out.Over = VirtualTime, OverPlain
	}
	if c.Over != "" {
		out.Over = c.Over
	}
	if problems := check(&out, nil); len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, s.Name, problems[0])
	}
	return &out, nil
}
