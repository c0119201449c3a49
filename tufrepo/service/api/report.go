package api

import (
	"encoding/json"
	"time"
)

// Report sums up the updates that began since a time: of one tenant, of each that the caller
// may see, or of all together where the caller may see all.
type Report struct {
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until"` // when it was made
	Releases []ReleaseReport `json:"releases"`
}

// ReleaseReport is how the updates to one release stand. What is neither committed nor
// unsuccessful is under way, or waits for its device.
type ReleaseReport struct {
	Tenant       string     `json:"tenant,omitempty"` // empty where all are summed up
	Product      string     `json:"product"`
	Version      string     `json:"version"`
	Updates      int64      `json:"updates"`
	Committed    int64      `json:"committed"`
	Unsuccessful int64      `json:"unsuccessful"`            // failed, rolled back or rejected
	MedianMillis int64      `json:"median_millis,omitempty"` // from its begin to its commit
	P95Millis    int64      `json:"p95_millis,omitempty"`    // the same, of the slowest but for one in twenty
	Fetched      int64      `json:"fetched"`                 // bytes over the network
	Written      int64      `json:"written"`                 // bytes to slots
	Outcomes     []Outcomed `json:"outcomes"`
}

// Outcomed counts the updates to a release that stand alike.
type Outcomed struct {
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Updates int64  `json:"updates"`
}

// Events is what a device said of its updates, in the order of arrival; each is a wire.Event.
type Events struct {
	Events []json.RawMessage `json:"events"`
}
