package boot

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the variables in which a boot script finds the state. Each value is one letter or digit, so that no change
// moves another variable.
const (
	varCommitted = "fl_committed" // a, b
	varTrial     = "fl_trial"     // a, b; n for none
	varTries     = "fl_tries"     // 0 to 7
	varA         = "fl_a"         // g: bootable; f: its last trial failed; n: neither
	varB         = "fl_b"
	varCheck     = "fl_check" // the five above, one after the other, where nothing else tells a torn state
	varLast      = "fl_last"  // a, b: what was started as the last resort
)

// stateVars are the variables of the state, in their order.
var stateVars = []string{varCommitted, varTrial, varTries, varA, varB}

// variable is one of an environment.
type variable struct{ name, value string }

// variables are those of an environment, in the order of their bytes.
type variables []variable

// get returns the value that a bootloader sees, which is the last; "" if there is none.
func (v variables) get(name string) string {
	for _, e := range slices.Backward(v) {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

// with returns the variables of the state, and after them those of v that are not ours.
func (v variables) with(own ...variable) variables {
	out := slices.Clone(own)
	for _, e := range v {
		if !strings.HasPrefix(e.name, "fl_") {
			out = append(out, e)
		}
	}
	return out
}

// word is the state in five letters.
func (v variables) word() string {
	var b strings.Builder
	for _, name := range stateVars {
		b.WriteString(v.get(name))
	}
	return b.String()
}

// record reads the state; an impossible one is an error.
func (v variables) record() (record, error) {
	r := record{Schema: 1, Committed: Slot(v.get(varCommitted)), Trial: Slot(v.get(varTrial))}
	if r.Trial == "n" {
		r.Trial = ""
	}
	for _, s := range []Slot{A, B} {
		switch v.get("fl_" + string(s)) {
		case "g":
			r.slot(s).Bootable = true
		case "f":
			r.slot(s).Failed = true
		}
	}
	tries := v.get(varTries)
	if len(tries) == 1 && tries[0] >= '0' && tries[0] <= '9' {
		r.Tries = int(tries[0] - '0')
	}
	if err := r.check(); err != nil {
		return record{}, err
	}
	if word := v.word(); variables(r.variables()).word() != word {
		return record{}, fmt.Errorf("no boot state is written %q", word)
	}
	return r, nil
}

// variables writes the state.
func (r *record) variables() []variable {
	trial := string(r.Trial)
	if trial == "" {
		trial = "n"
	}
	letter := func(s SlotState) string {
		switch {
		case s.Bootable:
			return "g"
		case s.Failed:
			return "f"
		}
		return "n"
	}
	return []variable{{varCommitted, string(r.Committed)}, {varTrial, trial}, {varTries, fmt.Sprint(r.Tries)}, {varA, letter(r.A)}, {varB, letter(r.B)}}
}
