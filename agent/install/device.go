package install

import (
	"io"
)

// Device is an opened slot. Reads and writes may come from several goroutines, to different places.
type Device interface {
	io.ReaderAt // from the medium, past the page cache where the system lets us
	io.WriterAt

	// Capacity is the longest image that the slot can take, in bytes.
	Capacity() int64
	// Reserve makes room for an image of which all but the data extents are zeros. It changes no byte that the slot
	// holds. ErrTooSmall and ErrNoSpace come from here, before anything is written.
	Reserve(length int64, data []Extent) error
	// Zero makes the bytes read as zeros, and writes nothing where they do already.
	Zero(offset, length int64) error
	// Sync makes all writes so far durable. After an error none of them is to be believed, and Sync must not be called
	// again to find out.
	Sync() error
	Close() error
}

// SlotOptions say what a path must not be, and what it may become.
type SlotOptions struct {
	Active   string // path of the slot that runs, which is never opened; "" if there is none
	Capacity int64  // longest image in bytes for a slot that is a regular file, which is made if need be; 0: what the file holds now
	ReadOnly bool   // for VerifySlot; such a slot may be in use
}
