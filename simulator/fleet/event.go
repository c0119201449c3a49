package fleet

import (
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Kinds of events.
const (
	PoweredOn  = "powered_on"  // the bootloader chose a slot
	PoweredOff = "powered_off" // the power was cut
	Hung       = "hung"        // what was booted does nothing
	Updated    = "updated"     // an update took a step
	AgentEnded = "agent_ended" // the agent failed, and is started again
	Bricked    = "bricked"     // the bootloader cannot be read: this unit is lost
	// Of units that people use: what they answered, in Event.Detail as wire.Say, empty if they left the question standing because
	// somebody uses the unit; and that the agent rebooted while somebody did.
	Answered    = "answered"
	Interrupted = "interrupted"
)

// Event is something that happened to one unit.
type Event struct {
	Time    time.Time  `json:"time"`
	Unit    string     `json:"unit"`
	Number  int        `json:"-"` // of the unit, counted from 1
	Kind    string     `json:"kind"`
	Slot    string     `json:"slot,omitempty"`
	State   wire.State `json:"state,omitempty"`
	From    string     `json:"from,omitempty"`
	To      string     `json:"to,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	Fetched int64      `json:"fetched,omitempty"` // bytes
	Written int64      `json:"written,omitempty"` // bytes
	Seconds float64    `json:"seconds,omitempty"` // since the update began
}
