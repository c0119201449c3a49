package scenario_test

import (
	"errors"
	"testing"

	"github.com/fairlead/fairlead/simulator/library"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// TestTextReadsBack: what is written is read as what it was, whatever a scenario may say.
func TestTextReadsBack(t *testing.T) {
	for _, name := range library.Names() {
		s, err := library.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.Text()
		if err != nil {
			t.Fatal(err)
		}
		back, err := scenario.Parse(text, name, ".")
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		again, err := back.Text()
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: %v\n%s\n%s", name, err, text, again)
		}
	}
}

// TestChanges: what a command line changes is checked as the file is.
func TestChanges(t *testing.T) {
	s, err := library.Load("bad-release")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.With(scenario.Change{Units: 7, Seed: 9, Virtual: true})
	if err != nil || changed.Units != 7 || changed.Seed != 9 || changed.Time != scenario.VirtualTime || changed.Over != scenario.OverPlain || s.Units == 7 {
		t.Errorf("%+v, %v", changed, err)
	}
	for _, c := range []scenario.Change{{Units: -1}, {Units: 1 << 30}, {Over: "pigeons"}, {Over: scenario.OverPipe, Virtual: true}} {
		if _, err := s.With(c); !errors.Is(err, scenario.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
