package install

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/firmware"
)

// Run brings the image into the slot and proves that it is there.
func Run(ctx context.Context, p Plan) (Result, error) {
	return Result{}, errors.New("not yet")
}

// OpenSlot opens a slot.
func OpenSlot(path string, o SlotOptions) (Device, error) {
	return nil, errors.New("not yet")
}

// VerifySlot reads the slot back, past the page cache where possible, and compares it with the image. ErrCorrupt if it
// holds something else.
func VerifySlot(ctx context.Context, d Device, image firmware.Blob, progress func(Progress)) error {
	return errors.New("not yet")
}
