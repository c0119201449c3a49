package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"syscall"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// Errors on which a caller branches.
var (
	// ErrReboot: everything is written and reported as far as it could be; the system
	// is to be rebooted now.
	ErrReboot = errors.New("reboot needed")
	// ErrRunning: another agent has the state folder.
	ErrRunning = errors.New("another agent is running")
	// ErrNotEnrolled: this device has no identity, or no cloud connection.
	ErrNotEnrolled = errors.New("not enrolled")
	// ErrNothing: there is nothing to do.
	ErrNothing = errors.New("nothing to do")
)

// foreign finds the reason in errors of the packages below; "" if there is none.
func foreign(err error) Reason {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return Clock
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return NoSpace
	}
	if r := ofInstall(err); r != "" && r != Unavailable {
		return r
	}
	if r := ofClient(err); r != "" {
		return r
	}
	if r := ofLink(err); r != "" {
		return r
	}
	switch {
	case errors.Is(err, install.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	case errors.Is(err, boot.ErrInUse):
		return Busy
	case errors.Is(err, boot.ErrLost), errors.Is(err, boot.ErrUnproven):
		return BootFailed
	}
	return ""
}

func ofInstall(err error) Reason {
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{install.ErrTooSmall, SlotTooSmall}, {install.ErrNoSpace, NoSpace}, {install.ErrBusy, Busy},
		{install.ErrCorrupt, Corrupt}, {install.ErrIO, IO}, {install.ErrUnavailable, Unavailable},
	} {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return ""
}

func ofClient(err error) Reason {
	var e *client.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Class {
	case client.ErrExpired.Class:
		return Expired
	case client.ErrRollback.Class, client.ErrConflict.Class:
		return RollbackMetadata
	case client.ErrSignature.Class:
		return Signature
	case client.ErrTooLarge.Class, client.ErrCorrupt.Class, client.ErrFormat.Class:
		return Corrupt
	case client.ErrNoTarget.Class:
		return NoTarget
	case client.ErrNotLogged.Class:
		return NotLogged
	case client.ErrCaptive.Class:
		return CaptivePortal
	case client.ErrUnavailable.Class:
		return Unavailable
	case client.ErrNoSpace.Class:
		return NoSpace
	case client.ErrBusy.Class:
		return Busy
	}
	return IO
}

func ofLink(err error) Reason {
	var e *link.Error
	switch {
	case !errors.As(err, &e):
		return ""
	case e.Class == link.ClassCaptive:
		return CaptivePortal
	}
	return Unavailable
}

func isLost(err error) bool {
	var lost *lostError
	return errors.As(err, &lost)
}
