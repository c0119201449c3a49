package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// Classes of [Error]: stable words, some of which are also reasons in reports.
const (
	ClassUnavailable = "unavailable"    // no answer, or one that says later
	ClassCaptive     = "captive_portal" // somebody else answers in the service's place
	ClassProxy       = "proxy"          // the proxy does not let the connection through
	ClassServer      = "server"         // the service's certificate does not verify
	ClassIdentity    = "identity"       // the service does not take this device's certificate
	ClassClaim       = "claim"          // the claim token is unknown, expired or used up
	ClassConflict    = "conflict"       // the serial or MAC is enrolled with another key
	ClassRequest     = "bad_request"    // the service will never take this request
)

// Error is every error that concerns the service.
type Error struct {
	Class string
	Err   error
	// After is how long the service asks to be left alone, capped; 0 when it did not say.
	After time.Duration
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// class finds the class of any error on the way to the service.
func class(err error) string {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Class
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return ClassServer
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && strings.Contains(op.Error(), "certificate") {
		return ClassIdentity // an alert of TLS: bad, expired, unknown, revoked, required
	}
	return ClassUnavailable
}

// explain adds what the user can do.
func explain(err error) error {
	switch class(err) {
	case ClassServer:
		return &Error{Class: ClassServer, Err: &hinted{err, serverHint(err)}}
	case ClassIdentity:
		return &Error{Class: ClassIdentity, Err: &hinted{err, "check this device's certificate, or enrol it anew"}}
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return &Error{Class: known.Class, Err: err, After: known.After}
	}
	return &Error{Class: ClassUnavailable, Err: err}
}

func serverHint(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "check the clock of this device, and the service's certificate"
	}
	return "check the configured CA; a captive portal or TLS inspection on the way looks the same"
}

// hinted is an error with a word for the user behind it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() + " (" + h.hint + ")" }
func (h *hinted) Unwrap() error { return h.err }
