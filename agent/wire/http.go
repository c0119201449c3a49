package wire

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// MaxEnrollResponse bounds an enrolment response, which carries the director's root.
const MaxEnrollResponse = 256 << 10

// EnrollRequest asks for an identity. The device has made the key of CSR itself.
type EnrollRequest struct {
	Claim    string `json:"claim"` // claim token
	CSR      string `json:"csr"`   // PEM, P-256 or Ed25519
	Product  string `json:"product"`
	Hardware string `json:"hardware"`
	Serial   string `json:"serial,omitempty"`
	MAC      string `json:"mac,omitempty"`
	Agent    string `json:"agent,omitempty"`
}

// EnrollResponse is an identity.
type EnrollResponse struct {
	Tenant       string    `json:"tenant"`
	Device       string    `json:"device"`
	Certificate  string    `json:"certificate"`   // PEM
	Chain        string    `json:"chain"`         // PEM, may be empty
	DirectorRoot string    `json:"director_root"` // root metadata of the tenant's director, as a string
	Expires      time.Time `json:"expires"`
}

// Reports is what a device without MQTT has to say. Its events are of one epoch, with
// growing numbers, MaxEvents at most.
type Reports struct {
	Reported *Reported `json:"reported,omitempty"`
	Events   []Event   `json:"events,omitempty"`
}

// ReportsAck answers [Reports]: every event of that request up to Seq is stored for ever.
// 0 when there were none.
type ReportsAck struct {
	Seq int64 `json:"seq"`
}

// Codes of [Error]. A client branches on these, not on the message.
const (
	CodeBadRequest   = "bad_request"   // 400: the same request will never be taken
	CodeUnauthorized = "unauthorized"  // 401: no client certificate, or not one of ours
	CodeRevoked      = "revoked"       // 403: the identity was withdrawn
	CodeClaimUnknown = "claim_unknown" // 403
	CodeClaimExpired = "claim_expired" // 403
	CodeClaimUsed    = "claim_used"    // 403: no uses left
	CodeConflict     = "conflict"      // 409: serial or MAC is enrolled with another key
	CodeOffline      = "offline"       // 403: the director has switched the cloud connection off
	CodeNotFound     = "not_found"     // 404
	CodeTooLarge     = "too_large"     // 413
	CodeBusy         = "busy"          // 429, with Retry-After
	CodeInternal     = "internal"      // 500
	CodeUnavailable  = "unavailable"   // 503, with Retry-After
)

// ErrorBody is the body of every HTTP error below /v1/.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error says what went wrong: Code for programs, Message for people.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r EnrollRequest) check() error {
	if len(r.CSR) == 0 || len(r.CSR) > 8<<10 {
		return fmt.Errorf("csr must have 1 to 8192 bytes, it has %d", len(r.CSR))
	}
	if len(r.Claim) > MaxText {
		return fmt.Errorf("claim must have at most %d bytes, it has %d", MaxText, len(r.Claim))
	}
	return cmp.Or(
		need("product", r.Product), need("hardware", r.Hardware),
		names("serial", r.Serial, "mac", r.MAC, "agent", r.Agent))
}

func (r EnrollResponse) check() error {
	if r.Certificate == "" || r.DirectorRoot == "" {
		return errors.New("certificate or director_root is missing")
	}
	return cmp.Or(CheckID(r.Tenant), CheckID(r.Device), checkTime(r.Expires))
}

func (r Reports) check() error {
	if len(r.Events) > MaxEvents {
		return fmt.Errorf("events has %d entries, more than %d", len(r.Events), MaxEvents)
	}
	if r.Reported != nil {
		if err := r.Reported.check(); err != nil {
			return fmt.Errorf("reported: %w", err)
		}
	}
	for i, e := range r.Events {
		if err := e.check(); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		if i > 0 && (e.Epoch != r.Events[0].Epoch || e.Seq <= r.Events[i-1].Seq) {
			return fmt.Errorf("event %d does not follow the one before it in one epoch", i)
		}
	}
	return nil
}

func (a ReportsAck) check() error { return atLeast("seq", a.Seq, 0) }

func (b ErrorBody) check() error {
	if b.Error.Code == "" {
		return errors.New("error has no code")
	}
	return nil
}
