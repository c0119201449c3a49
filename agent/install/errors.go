package install

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// What an install can fail of. Each comes wrapped, with what happened to what.
var (
	ErrTooSmall    = errors.New("slot is too small")
	ErrNoSpace     = errors.New("no space left")
	ErrBusy        = errors.New("slot is busy")                        // active, mounted, or opened by somebody else
	ErrCorrupt     = errors.New("bytes are not those of the manifest") // from the source, or back from the slot
	ErrIO          = errors.New("slot failed")                         // the slot's medium, or what is no slot at all
	ErrUnavailable = errors.New("source is unavailable")               // gave up; what is written stays, and the next Run resumes
)

// Class names the failure of an install by a stable word, for reports: slot_too_small, no_space, busy, corrupt,
// unavailable, cancelled, or io.
func Class(err error) string {
	for _, c := range []struct {
		err  error
		word string
	}{
		{ErrTooSmall, "slot_too_small"}, {ErrNoSpace, "no_space"}, {ErrBusy, "busy"}, {ErrCorrupt, "corrupt"},
		{ErrIO, "io"}, {ErrUnavailable, "unavailable"}, {context.Canceled, "cancelled"},
	} {
		if errors.Is(err, c.err) {
			return c.word
		}
	}
	return "io"
}

// slotError gives an error of the slot's medium its class. One that has a class keeps it.
func slotError(doing string, err error) error {
	for _, class := range []error{ErrTooSmall, ErrNoSpace, ErrBusy, ErrIO} {
		if errors.Is(err, class) {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s: %w: %w: free some on its file system", doing, ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrIO, err)
}
