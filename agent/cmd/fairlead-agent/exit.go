package main

import (
	"errors"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/link"
)

// Exit codes; the package comment says what they mean.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNothing     = 3
	exitReboot      = 4
	exitRefused     = 5
	exitUnverified  = 6
	exitNoSpace     = 7
	exitUnavailable = 8
	exitRunning     = 9
	exitNotEnrolled = 10
)

// exitCode is what a script branches on.
func exitCode(err error) int {
	var service *link.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, agent.ErrNothing):
		return exitNothing
	case errors.Is(err, agent.ErrReboot):
		return exitReboot
	case errors.Is(err, agent.ErrRunning):
		return exitRunning
	case errors.Is(err, agent.ErrNotEnrolled):
		return exitNotEnrolled
	case errors.As(err, &service):
		return serviceCode(service)
	}
	return reasonCode(agent.ReasonOf(err))
}

func serviceCode(err *link.Error) int {
	switch err.Class {
	case link.ClassIdentity:
		return exitNotEnrolled
	case link.ClassClaim, link.ClassConflict, link.ClassRequest:
		return exitRefused
	}
	return exitUnavailable
}

func reasonCode(r agent.Reason) int {
	switch r {
	case agent.WrongHardware, agent.WrongProduct, agent.WrongChannel, agent.OlderRelease, agent.AgentTooOld, agent.Disagree,
		agent.NoTarget, agent.Busy, agent.Superseded, agent.Health:
		return exitRefused
	case agent.Signature, agent.RollbackMetadata, agent.Expired, agent.Corrupt, agent.NotLogged:
		return exitUnverified
	case agent.NoSpace, agent.SlotTooSmall:
		return exitNoSpace
	case agent.Unavailable, agent.CaptivePortal, agent.Clock:
		return exitUnavailable
	}
	return exitFailed
}
