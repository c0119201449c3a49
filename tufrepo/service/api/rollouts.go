package api

import (
	"encoding/json"
	"time"
)

// NewRollout asks for a rollout, or for a preview of it.
type NewRollout struct {
	// ID is a UUID; empty for any. A rollout with the ID of a preview does what that has shown.
	ID       string          `json:"id,omitempty"`
	Plan     json.RawMessage `json:"plan"` // see docs/formats.md
	Product  string          `json:"product"`
	Version  string          `json:"version"`
	Fallback string          `json:"fallback,omitempty"` // version to go back to; the tenant must allow it
}

// Rollout is how a rollout stands.
type Rollout struct {
	ID       string         `json:"id"`
	Tenant   string         `json:"tenant"`
	Product  string         `json:"product"`
	Version  string         `json:"version"`
	Fallback string         `json:"fallback,omitempty"`
	Creator  string         `json:"creator"`
	Created  time.Time      `json:"created"`
	Run      string         `json:"run"` // scheduled, running, paused, rolling_back, finished, aborted, rolled_back
	Reason   string         `json:"reason,omitempty"`
	Phase    string         `json:"phase,omitempty"` // the current one
	InFlight int            `json:"in_flight"`       // devices with a direction
	Phases   []RolloutPhase `json:"phases"`
	// Outside are the devices in no phase, by state: already, excluded.
	Outside  map[string]int  `json:"outside,omitempty"`
	Reasons  []RolloutReason `json:"reasons,omitempty"` // why devices failed or are left out; not in lists
	Next     *time.Time      `json:"next,omitempty"`    // when it goes on by itself at the latest
	Finished *time.Time      `json:"finished,omitempty"`
	Plan     json.RawMessage `json:"plan,omitempty"` // not in lists
}

// RolloutPhase is how a phase stands.
type RolloutPhase struct {
	Name   string         `json:"name"`
	States map[string]int `json:"states,omitempty"` // devices by state
	Busy   int            `json:"busy,omitempty"`   // of them, with another rollout
	Size   int            `json:"size"`             // devices of which success is expected
	Good   int            `json:"good"`             // that have committed
	Need   int            `json:"need"`             // of Good, to pass
	Passed *time.Time     `json:"passed,omitempty"` // when it had them
	// Approval: it waits for an approval.
	Approval bool `json:"approval,omitempty"`
}

// RolloutReason is how many devices are in a state for a reason.
type RolloutReason struct {
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Devices int64  `json:"devices"`
}

// Rollouts is a list.
type Rollouts struct {
	Rollouts []Rollout `json:"rollouts"`
}

// RolloutOrder is what is asked of a rollout. Which members are used says the path.
type RolloutOrder struct {
	Reason  string   `json:"reason,omitempty"`  // pause, abort, rollback
	Devices []string `json:"devices,omitempty"` // retry; none for all that failed
	Phase   string   `json:"phase,omitempty"`   // approve, advance
}

// RolloutDevice is a device's part in a rollout.
type RolloutDevice struct {
	Device  string `json:"device"`
	Serial  string `json:"serial,omitempty"`
	Phase   string `json:"phase,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	// Update is of the last attempt.
	Update *Update `json:"update,omitempty"`
}

// RolloutDevices is a list; Next, if not empty, is the value of ?after for the rest.
type RolloutDevices struct {
	Devices []RolloutDevice `json:"devices"`
	Next    string          `json:"next,omitempty"`
}

// Preview is what a rollout would do.
type Preview struct {
	ID       string         `json:"id"` // give it to NewRollout, and this is what comes
	Phases   []PreviewPhase `json:"phases"`
	Already  PreviewPart    `json:"already"` // devices that run the release, or one above it
	Excluded []PreviewPart  `json:"excluded,omitempty"`
	Others   int64          `json:"others"` // devices of other products
}

// PreviewPhase is a phase and who is in it.
type PreviewPhase struct {
	Name string `json:"name"`
	Need int    `json:"need"`           // devices that have to commit
	Busy int    `json:"busy,omitempty"` // devices that another rollout has now
	PreviewPart
}

// PreviewPart is some devices.
type PreviewPart struct {
	Reason  string   `json:"reason,omitempty"`
	Count   int      `json:"count"`
	Devices []string `json:"devices,omitempty"` // the first of them by id; ?devices says how many
}
