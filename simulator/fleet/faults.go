package fleet

import (
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Faults are what goes wrong with a unit. The zero value is a unit with which nothing does. They may be changed while it runs.
type Faults struct {
	// CutAt has the power cut once for each update when it enters one of these states; at downloading, somewhere in the midst
	// of it.
	CutAt []wire.State
	// Off is how long the power stays away after a cut.
	Off time.Duration
	// Unhealthy is a version with which the product's own check fails; "*" for every version.
	Unhealthy string
	// Loops is a version that restarts before its agent begins; "*" for every version.
	Loops string
	// Hangs is a version that boots and does nothing; "*" for every version.
	Hangs string
	// Watchdog restarts a unit that hangs, so long after; 0: nobody does.
	Watchdog time.Duration
	// Full is a medium without room.
	Full bool
	// Skew is how far the clock is off.
	Skew time.Duration
}

// with says whether a fault that names a version applies to one.
func with(fault, version string) bool { return fault != "" && (fault == "*" || fault == version) }
