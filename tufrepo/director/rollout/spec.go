package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Schema is the major version of the plan's JSON: member "schema".
const Schema = 1

// MaxSpec is the longest plan in bytes of JSON.
const MaxSpec = 64 << 10

// Kind says how a device is to take its direction.
type Kind string

const (
	// Forced: the device begins at once. It is what an empty Kind means.
	Forced Kind = "forced"
	// Soft: the device, or the people before it, may put the update off. See Consent.
	Soft Kind = "soft"
	// DownloadOnly: the device brings the image into its inactive slot and stops there.
	DownloadOnly Kind = "download_only"
)

// Spec is the plan of a rollout as users write it. It does not name the release, so one
// plan serves many. The zero value of a member means its default.
type Spec struct {
	Schema  int      `json:"schema"` // 1
	Kind    Kind     `json:"kind,omitempty"`
	Consent *Consent `json:"consent,omitempty"` // with Soft, and only there
	Phases  []Phase  `json:"phases"`            // in their order

	InFlight    int       `json:"in_flight,omitempty"`   // most devices directed at a time; 0: no limit
	PerMinute   int       `json:"per_minute,omitempty"`  // most directed in any minute; 0: no limit
	SilentAfter Duration  `json:"silent_after,omitzero"` // no step for so long after a direction: silent; 24h
	Pause       *Brake    `json:"pause,omitempty"`       // when it stops by itself; 5 percent of 20
	RollBack    bool      `json:"roll_back,omitempty"`   // where it would stop by itself, it goes back instead
	Windows     []Window  `json:"windows,omitempty"`     // when devices may be directed; none: always
	Zone        string    `json:"zone,omitempty"`        // of devices that have none; with Windows, and only there
	Start       time.Time `json:"start,omitzero"`        // nothing happens before
	OpenUntil   time.Time `json:"open_until,omitzero"`   // it stays open so long: devices that appear take part, silent ones may come back
}

// Phase is one step of the plan. Percent, Count and Groups say which devices it is for: one of
// them, or Count with Groups. A device belongs to the first phase that takes it.
type Phase struct {
	Name string `json:"name"`
	// Canary, of the first phase only: nobody may fail in it, and it must not be empty.
	Canary bool `json:"canary,omitempty"`

	Percent int      `json:"percent,omitempty"` // up to this share of all devices, earlier phases included
	Count   int      `json:"count,omitempty"`   // so many
	Groups  []string `json:"groups,omitempty"`  // those in these groups and below

	Success  int      `json:"success,omitempty"`  // percent of its devices that must commit before the next phase; 95, of a canary 100
	Soak     Duration `json:"soak,omitzero"`      // after that, wait so long
	Approval bool     `json:"approval,omitempty"` // after that, wait for Approve
}

// Brake pauses a rollout: when more than Percent of the devices of a phase that have ended,
// and Sample of them at least, have failed or fallen silent.
type Brake struct {
	Percent int `json:"percent"`          // 0: at the first; 100: never
	Sample  int `json:"sample,omitempty"` // never more than the phase has; 0 means 1
}

// Consent is what people at a device may say.
type Consent struct {
	Ask     bool     `json:"ask,omitempty"` // ask before the direction; without it they may only put it off
	Longest Duration `json:"longest"`       // since the first question or direction
	Then    Then     `json:"then"`          // what happens after Longest
}

// Then is the end of a deferral.
type Then string

const (
	Force Then = "force" // directed as Forced
	Skip  Then = "skip"  // left alone: Declined
)

// Window is a time of day in which devices may be directed, by the clock on the device's
// wall. To at or before From is on the day after; Days are those on which the window begins.
type Window struct {
	Days []Day `json:"days,omitempty"` // none: every day
	From Clock `json:"from"`
	To   Clock `json:"to"`
}

// Parse reads a plan, refuses members it does not know, checks it and fills in the defaults.
func Parse(b []byte) (Spec, error) {
	var s Spec
	if err := strictjson.Decode(b, strictjson.Options{MaxBytes: MaxSpec, Known: true}, &s); err != nil {
		return Spec{}, fmt.Errorf("read the rollout plan: %w", err)
	}
	if err := Check(s); err != nil {
		return Spec{}, err
	}
	return s.filled(), nil
}

// filled is s with its defaults written out.
func (s Spec) filled() Spec {
	if s.Kind == "" {
		s.Kind = Forced
	}
	if s.SilentAfter == 0 {
		s.SilentAfter = Duration(24 * time.Hour)
	}
	if s.Pause == nil {
		s.Pause = &Brake{Percent: 5, Sample: 20}
	}
	s.Start, s.OpenUntil = instant(seconds(s.Start)), instant(seconds(s.OpenUntil))
	s.Phases = slices.Clone(s.Phases)
	for i := range s.Phases {
		if p := &s.Phases[i]; p.Success == 0 {
			p.Success = 95
			if p.Canary {
				p.Success = 100
			}
		}
	}
	return s
}

// brake of a phase.
func (s Spec) brake(phase int) Brake {
	if s.Phases[phase].Canary {
		return Brake{Percent: 0, Sample: 1}
	}
	return Brake{s.Pause.Percent, max(s.Pause.Sample, 1)}
}

// asks says whether people are asked before the direction.
func (s Spec) asks() bool { return s.Consent != nil && s.Consent.Ask }

// takes says whether a device of this group belongs to the phase, as far as groups go.
func (p Phase) takes(group string) bool {
	return slices.ContainsFunc(p.Groups, func(g string) bool {
		rest, ok := strings.CutPrefix(group, g)
		return ok && (rest == "" || rest[0] == '/')
	})
}
