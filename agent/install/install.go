package install

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// Source gives parts of files of a repository. The name of a blob is "blobs/" and its SHA-256 in hex. A source may end
// its stream early or give wrong bytes: everything it gives is checked.
type Source interface {
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
}

// Plan is one install. The first five are required.
type Plan struct {
	Manifest *firmware.Manifest // verified
	Source   Source
	Target   Device // the slot, forbidden to the bootloader by the caller
	Slot     string // its name; what the journal says is true of this slot only
	Journal  string // folder of the journal; it is made if need be

	Progress func(Progress) // never called twice at a time; must be quick; nil for none
	Limits   Limits
	Log      *slog.Logger   // nil logs nothing
	Rand     func() float64 // in [0,1), for the jitter of waits; nil for math/rand/v2
}

// Limits bound what an install takes. A zero field has its default.
type Limits struct {
	Buffers    int64         // bytes of all buffers together; 12 MiB; at least four frames are taken whatever it says
	Request    int64         // artifact bytes asked for in one request; 8 MiB
	Checkpoint int64         // image bytes written between two syncs of the slot; 16 MiB
	Workers    int           // goroutines that verify and decode; min(2, GOMAXPROCS)
	Attempts   int           // failed requests in a row, without a frame between them, before giving up; 6
	Backoff    time.Duration // longest first wait between requests, doubled for each failure, with full jitter; 500 ms
	MaxBackoff time.Duration // longest wait; 30 s
}

// Phases of an install, in their order.
const (
	PhaseInstall = "install" // frames are fetched and written
	PhaseVerify  = "verify"  // the slot is read back
)

// Progress is how far a phase is.
type Progress struct {
	Phase       string
	Done, Total int64 // bytes of the image
	Fetched     int64 // bytes of the artifact that came over the network so far
}

// Result is what an install took.
type Result struct {
	Fetched int64 // bytes that came from the source, the wasted ones too
	Written int64 // bytes of frames written to the slot
	Zeroed  int64 // bytes of frames of zeros
	Skipped int64 // bytes of frames that an earlier attempt left in the slot
	Healed  int   // frames that read back wrong and were fetched and written again
}
