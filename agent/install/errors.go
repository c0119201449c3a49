package install

import (
	"context"
	"errors"
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
