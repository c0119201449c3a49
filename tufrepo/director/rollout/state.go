package rollout

import (
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/agent/wire"
)

// State is where a device stands in a rollout.
type State uint8

const (
	Waiting   State = iota // its phase, its window or a place is awaited
	Asked                  // the people at the device were asked
	Agreed                 // they agreed, or their time is up: it waits for its window or a place
	Deferred               // they put it off
	Directed               // it has its direction and has said nothing of it
	Updating               // it has reported a step
	Reverting              // it has the direction to roll back
	Staged                 // end of a DownloadOnly: the image is in place
	Committed              // end: it runs the release for good
	Already                // end: it ran the release, or one above, by itself
	Reverted               // end: it is rolled back
	Failed                 // end: failed, rolled_back or rejected
	Silent                 // end, until it is heard of: no step within the deadline
	Declined               // end: the people said no
	Excluded               // end: it cannot take the release
	numStates
)

func stateNames() []string {
	return []string{"waiting", "asked", "agreed", "deferred", "directed", "updating", "reverting", "staged", "committed",
		"already", "reverted", "failed", "silent", "declined", "excluded"}
}

func (s State) String() string {
	if s >= numStates {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames()[s]
}

func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *State) UnmarshalText(b []byte) error {
	i := slices.Index(stateNames(), string(b))
	if i < 0 {
		return fmt.Errorf("%.40q is not the state of a device in a rollout", b)
	}
	*s = State(i)
	return nil
}

// Holds says whether the rollout has the device: it has been asked or directed, and no
// other rollout may ask or direct it.
func (s State) Holds() bool {
	return s == Asked || s == Agreed || s.inFlight()
}

// inFlight devices have a direction; InFlight of the plan limits them.
func (s State) inFlight() bool { return s == Directed || s == Updating || s == Reverting }

// open devices may still commit.
func (s State) open() bool { return s < Reverting }

// good devices are where the rollout wants them.
func (s State) good() bool { return s == Staged || s == Committed || s == Already }

// StagedWord is what a device reports at the end of a DownloadOnly. It is not among the
// states of an update that begins, tries and ends.
const StagedWord wire.State = "staged"

// Superseded is a device's reason for the end of an update that was taken back before the
// reboot.
const Superseded = "superseded"

// Steps of an update, in their order. From stepRebooting on a device does not turn back
// because its direction is gone.
const (
	stepNone uint8 = iota
	stepDownloading
	stepInstalling
	stepStaged
	stepRebooting
	stepTrying
)

func stepOf(s wire.State) uint8 {
	switch s {
	case wire.Downloading:
		return stepDownloading
	case wire.Installing:
		return stepInstalling
	case StagedWord:
		return stepStaged
	case wire.Rebooting:
		return stepRebooting
	case wire.Trying:
		return stepTrying
	}
	return stepNone
}
