package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Error is what every method of this package returns when it fails. Class is
// stable: reports and exit codes are made of it. Role says whose metadata or
// which target is concerned; it may be empty.
type Error struct {
	Class string
	Role  string
	Err   error
}

// The classes, for errors.Is.
var (
	// ErrExpired: genuine, but past its expiry; errors.As gives *ExpiredError.
	ErrExpired = &Error{Class: "expired"}
	// ErrRollback: older than what this device has seen, or a leap ahead.
	ErrRollback = &Error{Class: "rollback_metadata"}
	// ErrConflict: two different things under one version.
	ErrConflict = &Error{Class: "conflict"}
	// ErrSignature: not signed by the threshold of the role's keys.
	ErrSignature = &Error{Class: "signature"}
	// ErrTooLarge: longer than was signed or than is allowed.
	ErrTooLarge = &Error{Class: "too_large"}
	// ErrCorrupt: not the length or hash that was signed.
	ErrCorrupt = &Error{Class: "corrupt"}
	// ErrFormat: not what this version of the format allows.
	ErrFormat = &Error{Class: "format"}
	// ErrNoTarget: no role that may speak for the path names it.
	ErrNoTarget = &Error{Class: "no_target"}
	// ErrNotLogged: the repository's log policy asks for a proof that the release
	// stands in a transparency log, and there is none that holds.
	ErrNotLogged = &Error{Class: "not_logged"}
	// ErrCaptive: something between us and the server answered in its place.
	ErrCaptive = &Error{Class: "captive_portal"}
	// ErrUnavailable: no answer, too slow an answer, or a refusal.
	ErrUnavailable = &Error{Class: "unavailable"}
	// ErrStore: the local store cannot be read or written.
	ErrStore = &Error{Class: "io"}
	// ErrNoSpace: the local store is full.
	ErrNoSpace = &Error{Class: "no_space"}
	// ErrBusy: another process holds the store.
	ErrBusy = &Error{Class: "busy"}
	// ErrConfig: the configuration cannot work.
	ErrConfig = &Error{Class: "config"}
)

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Class
	case e.Role == "":
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.Role, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is compare classes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Err == nil && t.Class == e.Class
}

// ExpiredError is the cause of an ErrExpired.
type ExpiredError struct {
	Role    string
	Expires time.Time
	Now     time.Time // trusted time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("expired at %s, and trusted time is %s: wait for the repository to renew it, or set the device's clock if it is ahead",
		e.Expires.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// RetryError says that a server asked to come back later.
type RetryError struct {
	Status int           // 429 or 503
	After  time.Duration // never negative, capped; 0 if the server did not say
}

func (e *RetryError) Error() string {
	return fmt.Sprintf("the server answers %d and asks to retry after %s", e.Status, e.After)
}

// RetryAfter is After, for those who know the method and not this package.
func (e *RetryError) RetryAfter() time.Duration { return e.After }

// fail makes an error of class's kind.
func fail(class *Error, role string, err error) *Error {
	return &Error{Class: class.Class, Role: role, Err: err}
}

func failf(class *Error, role, format string, args ...any) *Error {
	return fail(class, role, fmt.Errorf(format, args...))
}

func expired(role string, expires, now time.Time) *Error {
	return fail(ErrExpired, role, &ExpiredError{Role: role, Expires: expires, Now: now})
}

// classify gives an error of go-tuf or a source its class, other where its kind
// says nothing; one that has a class keeps it, and gains the role if it had none.
func classify(role string, other *Error, err error) error {
	if err == nil {
		return nil
	}
	if known := (*Error)(nil); errors.As(err, &known) && (known.Role != "" || role == "") {
		return err
	}
	return fail(classOf(err, other), role, err)
}

func classOf(err error, other *Error) *Error {
	if known := (*Error)(nil); errors.As(err, &known) {
		return known
	}
	for _, c := range []struct{ is, class error }{
		{&metadata.ErrUnsignedMetadata{}, ErrSignature},
		{&metadata.ErrExpiredMetadata{}, ErrExpired},
		{&metadata.ErrBadVersionNumber{}, ErrRollback},
		{&metadata.ErrLengthOrHashMismatch{}, ErrCorrupt},
		{&metadata.ErrRepository{}, ErrFormat},
		{fs.ErrNotExist, ErrUnavailable},
		{context.Canceled, ErrUnavailable},
		{context.DeadlineExceeded, ErrUnavailable},
	} {
		if errors.Is(err, c.is) {
			return c.class.(*Error)
		}
	}
	return other
}

// storeError is an error of the local store.
func storeError(role string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return failf(ErrNoSpace, role, "the metadata store is full, free some space: %w", err)
	}
	return failf(ErrStore, role, "the metadata store: %w", err)
}
