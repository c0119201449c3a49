package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxTries bounds the counter: what real bootloaders store in three bits.
const maxTries = 7

// record is the stored state; see the package comment.
type record struct {
	Schema    int       `json:"schema"`
	Committed Slot      `json:"committed"`
	Trial     Slot      `json:"trial,omitempty"`
	Tries     int       `json:"tries,omitempty"`
	A         SlotState `json:"a"`
	B         SlotState `json:"b"`
}

// firstRecord is the state of a device that has been nowhere: its committed slot is all it has.
func firstRecord(committed Slot) record {
	r := record{Schema: 1, Committed: committed}
	r.slot(committed).Bootable = true
	return r
}

func (r *record) slot(s Slot) *SlotState {
	if s == A {
		return &r.A
	}
	return &r.B
}

func parseRecord(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("reading the boot state: %w", err)
	}
	return r, r.check()
}

// check holds whatever Boot relies on: a state that breaks it is as good as unreadable.
func (r *record) check() error {
	switch {
	case r.Schema < 1:
		return errors.New("boot state without a schema")
	case !r.Committed.Valid() || !r.slot(r.Committed).Bootable:
		return fmt.Errorf("boot state has no committed slot that is bootable (%q)", r.Committed)
	case r.Trial != "" && (r.Trial != r.Committed.Other() || !r.slot(r.Trial).Bootable):
		return fmt.Errorf("boot state has an impossible trial (%q)", r.Trial)
	case r.Tries < 0 || r.Tries > maxTries || r.Trial == "" && r.Tries != 0:
		return fmt.Errorf("boot state has an impossible count of tries (%d)", r.Tries)
	}
	return nil
}

func (r *record) encode() ([]byte, error) { return json.Marshal(r) }

// endTrial takes the trial away. Its slot was never committed, so nothing but another Try makes it bootable again.
func (r *record) endTrial(failed bool) {
	if r.Trial == "" {
		return
	}
	*r.slot(r.Trial) = SlotState{Failed: failed}
	r.Trial, r.Tries = "", 0
}

// forbid, try and commit are the agent's half of every kind of bootloader; see Bootloader.

func (r *record) forbid(s, running Slot) error {
	if s == r.Committed || s == running {
		return ErrInUse
	}
	if s == r.Trial {
		r.endTrial(false)
	}
	*r.slot(s) = SlotState{}
	return nil
}

func (r *record) try(s Slot, tries int) error {
	if s == r.Committed {
		return ErrInUse
	}
	*r.slot(s) = SlotState{Bootable: true}
	r.Trial, r.Tries = s, tries
	return nil
}

func (r *record) commit(s, running Slot) error {
	if s != running && !r.slot(s).Bootable {
		return ErrUnproven
	}
	if s != r.Trial {
		r.endTrial(false)
	}
	*r.slot(s) = SlotState{Bootable: true}
	r.Committed, r.Trial, r.Tries = s, "", 0
	return nil
}

func (r *record) state(running Slot) State {
	return State{Running: running, Committed: r.Committed, Trial: r.Trial, TriesLeft: r.Tries, A: r.A, B: r.B}
}

// Why Boot started a slot; the second word of the running file.
const (
	whyCommitted  = "committed"
	whyTrial      = "trial"
	whyLastResort = "last-resort"
)

// parseRunning reads the running file. A line that makes no sense names no slot.
func parseRunning(data []byte) (slot Slot, why string) {
	line, ok := strings.CutSuffix(string(data), "\n")
	name, why, two := strings.Cut(line, " ")
	if s := Slot(name); ok && two && s.Valid() {
		return s, why
	}
	return "", ""
}
