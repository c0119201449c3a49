package agent

import (
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/agent/wire"
)

// Reason is why an update did not come through: a stable word, the same in reports, in
// the status and behind the exit codes.
type Reason string

// The reasons. The first group is policy: the release is genuine, and not for this device
// now. The second is what the repositories said. The third is the world around.
const (
	WrongHardware Reason = "wrong_hardware"
	WrongProduct  Reason = "wrong_product"
	WrongChannel  Reason = "wrong_channel" // not promoted as far as this device wants
	OlderRelease  Reason = "older_release"
	AgentTooOld   Reason = "agent_too_old"
	SlotTooSmall  Reason = "slot_too_small"

	Signature        Reason = "signature"
	RollbackMetadata Reason = "rollback_metadata"
	Expired          Reason = "expired"
	Disagree         Reason = "disagree" // director and image repository
	NoTarget         Reason = "no_target"
	NotLogged        Reason = "not_logged" // no proof that it stands in the transparency log
	Corrupt          Reason = "corrupt"

	NoSpace       Reason = "no_space"
	Unavailable   Reason = "unavailable"
	CaptivePortal Reason = "captive_portal"
	Clock         Reason = "clock"
	Busy          Reason = "busy"
	IO            Reason = "io"
	Superseded    Reason = "superseded"

	Certificate Reason = "certificate" // of the device; never of an update

	Health     Reason = "health"
	BootFailed Reason = "boot_failed"
)

// Refusal is an error with its reason. Its text is for people.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Errorf(format, args...)}
}

// ReasonOf finds the reason in err: its own, that of an error of the packages below, or io.
func ReasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if reason := foreign(err); reason != "" {
		return reason
	}
	return IO
}

// end is the state that an update ends in for this reason.
func (r Reason) end() wire.State {
	switch r {
	case WrongHardware, WrongProduct, WrongChannel, OlderRelease, AgentTooOld, SlotTooSmall,
		Signature, RollbackMetadata, Expired, Disagree, NoTarget, NotLogged:
		return wire.Rejected
	case Health:
		return wire.RolledBack
	}
	return wire.Failed
}

// attempts is how often in a row, without a byte of progress, an update may run into this
// reason. What only time can heal gets patience; what another mirror or a cache that
// catches up may heal gets three; the rest would be the same again.
func (r Reason) attempts(patience int) int {
	switch r {
	case Unavailable, CaptivePortal, Clock, Expired:
		return patience
	case Corrupt, Signature, RollbackMetadata, NoTarget, NotLogged, Disagree:
		return min(3, patience)
	}
	return 1
}
