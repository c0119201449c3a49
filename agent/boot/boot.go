package boot

import "errors"

// Slot names one of the two places a system can be booted from: "a" or "b". The zero value names none.
type Slot string

const (
	A Slot = "a"
	B Slot = "b"
)

// Valid reports whether s names a slot.
func (s Slot) Valid() bool { return s == A || s == B }

// Other returns the other slot, and none for none.
func (s Slot) Other() Slot {
	switch s {
	case A:
		return B
	case B:
		return A
	}
	return ""
}

// SlotState is what the bootloader knows of one slot.
type SlotState struct {
	Bootable bool `json:"bootable"`         // it was committed once, or is on trial, and was not forbidden since
	Failed   bool `json:"failed,omitempty"` // its last trial used up its tries without a commit
}

// State is what a bootloader knows. It is comparable.
type State struct {
	Running   Slot // what was started last; never empty
	Committed Slot // what is started when nothing else was asked for; always bootable
	Trial     Slot // what is to be started on trial, or runs on trial; "" for none
	TriesLeft int  // starts left for Trial; 0 while its last try runs
	A, B      SlotState
	Lost      bool // the stored state is unreadable: Running is all that is known. Commit(Running) repairs it
}

// Of returns what is known of one slot.
func (s State) Of(slot Slot) SlotState {
	switch slot {
	case A:
		return s.A
	case B:
		return s.B
	}
	return SlotState{}
}

// Errors of a Bootloader on which a caller branches.
var (
	ErrInUse    = errors.New("slot is in use")           // forbidding or trying what is committed or runs
	ErrUnproven = errors.New("slot is not bootable")     // committing what is neither bootable nor running
	ErrLost     = errors.New("boot state is unreadable") // Commit the running slot first
)

// A Bootloader keeps the boot state of a device. Each method that changes it is idempotent, is durable when it returns
// nil, and has read back what it wrote. After an error the state is the old or the new one, never a mixture; the caller
// may call again.
type Bootloader interface {
	// State returns what is stored now. A state that is unreadable is no error: it has Lost set.
	State() (State, error)

	// Forbid marks a slot unbootable, and forgets a trial of it. It is called before the first byte of the slot is
	// written, so that no half-written slot is ever started. ErrInUse for the committed and for the running slot.
	Forbid(s Slot) error

	// Try asks for the slot to be started on trial, with a full count of tries, from the next start on. It makes the slot
	// bootable. ErrInUse for the committed slot.
	Try(s Slot) error

	// Commit makes s the committed slot, without a counter, and ends the trial. The other slot keeps what it was.
	// ErrUnproven for a slot that is neither bootable nor running.
	Commit(s Slot) error

	// Cancel forgets the trial; its slot is then not bootable, as it was never committed. No trial, no error.
	Cancel() error
}
