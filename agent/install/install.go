package install

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Source gives parts of files of a repository. The name of a blob is "blobs/" and its SHA-256 in hex. A source may end
// its stream early or give wrong bytes: everything it gives is checked. What it gives is read at the pace of the slot, or
// of the Throttle, and so perhaps slowly. Open returns once the answer has begun, and ends with ctx. An install may have
// three requests under way.
type Source interface {
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
}

// Plan is one install. The first five are required.
type Plan struct {
	Manifest *firmware.Manifest // verified
	Source   Source
	Target   Device       // the slot, forbidden to the bootloader by the caller
	Slot     string       // its name; what the journal says is true of this slot only
	Journal  string       // folder of the journal; it is made if need be
	Disk     durable.Disk // where the journal is

	// Base is an image that the device has already, as in the slot that runs, and BaseImage what it is believed to be. Where
	// the release has a patch from that image, the patch is fetched in place of the artifact. Whether the belief is right
	// is found out frame by frame: what the base does not make is fetched from the artifact. Without a patch, frames that the
	// base holds at their place are taken from it. nil for none.
	Base      io.ReaderAt
	BaseImage firmware.Blob

	Shared   *delta.Shared  // what other installs of this process have made of patches, for a simulated fleet; nil for none
	Progress func(Progress) // never called twice at a time; must be quick; nil for none
	Throttle *Throttle      // nil for none
	Limits   Limits
	Log      *slog.Logger   // nil logs nothing
	Rand     func() float64 // in [0,1), for the jitter of waits; nil for math/rand/v2
}

// Limits bound what an install takes. A zero field has its default.
type Limits struct {
	Buffers    int64         // bytes of all buffers together; 20 MiB; what one worker needs is taken whatever it says
	Request    int64         // artifact bytes asked for in one request; no bound
	Checkpoint int64         // image bytes that come into the slot between two syncs of it; 64 MiB; it is synced every 3 s, too
	Workers    int           // goroutines that verify, decode and write; 2 or 3, by GOMAXPROCS
	Attempts   int           // failed requests in a row, without much read between them, before giving up; 6
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
	Done, Total int64         // bytes of the image
	Fetched     int64         // bytes that came over the network so far
	Written     int64         // bytes written to the slot so far
	Unchanged   int64         // bytes that were not written because the slot held them
	Rate        int64         // bytes a second: over the network, or read back; of the last seconds; 0 if unknown
	Left        time.Duration // until the end of the phase, if all goes on as it does; 0 if unknown
}

// Result is what an install took. Written, Unchanged, Zeroed and Skipped are the whole image, unless frames were healed.
type Result struct {
	Fetched   int64 // bytes that came from the source, the wasted ones too
	Written   int64 // bytes written to the slot
	Unchanged int64 // bytes that the slot held already, which were not written
	Zeroed    int64 // bytes made zeros without being written, where the slot allows it
	Skipped   int64 // bytes of frames that an earlier attempt left in the slot
	Patched   int64 // bytes of frames that a patch made, whether they were written or not
	Held      int64 // bytes that slot or base held, and that were not fetched, patches apart
	Healed    int   // frames that read back wrong and were fetched and written again
}
