package director

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// note is what lies in a rollout's inbox, as JSON.
type note struct {
	Type string `json:"type"` // one of the note constants

	Device string     `json:"device,omitempty"`
	Update string     `json:"update,omitempty"` // of noteReport, noteAnswer
	State  wire.State `json:"state,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Say    wire.Say   `json:"say,omitempty"`
	Until  time.Time  `json:"until,omitzero"`

	Devices []string `json:"devices,omitempty"` // of noteTaken, noteFreed, noteRetry
	Phase   string   `json:"phase,omitempty"`
}

const (
	noteReport = "report"
	noteAnswer = "answer"
	noteFacts  = "facts" // look at the device's row
	noteSeen   = "seen"
	noteTaken  = "taken"
	noteFreed  = "freed"

	notePause    = "pause"
	noteResume   = "resume"
	noteAbort    = "abort"
	noteRollBack = "roll_back"
	noteRetry    = "retry"
	noteApprove  = "approve"
	noteAdvance  = "advance"
)

// events are what a note tells the engine. members has the rows of devices that notes of
// facts name.
func (n note) events(s setup, members map[string]store.Member) (out []rollout.Event) {
	switch n.Type {
	case noteReport:
		return []rollout.Event{rollout.Report{Device: n.Device, Update: n.Update, State: n.State, Reason: n.Reason}}
	case noteAnswer:
		return []rollout.Event{rollout.Answer{Device: n.Device, Update: n.Update, Say: rollout.Say(n.Say), Until: n.Until}}
	case noteFacts:
		if m, ok := members[n.Device]; ok {
			return []rollout.Event{rollout.Facts{Device: s.device(m)}}
		}
	case noteSeen:
		return []rollout.Event{rollout.Seen{Device: n.Device}}
	case noteTaken:
		for _, id := range n.Devices {
			out = append(out, rollout.Taken{Device: id})
		}
	case noteFreed:
		for _, id := range n.Devices {
			out = append(out, rollout.Freed{Device: id})
		}
	default:
		if e := n.command(); e != nil {
			return []rollout.Event{e}
		}
	}
	return out
}

// command is what an operator asks for; nil if the note is none.
func (n note) command() rollout.Event {
	switch n.Type {
	case notePause:
		return rollout.Pause{Reason: n.Reason}
	case noteResume:
		return rollout.Resume{}
	case noteAbort:
		return rollout.Abort{Reason: n.Reason}
	case noteRollBack:
		return rollout.RollBack{Reason: n.Reason}
	case noteRetry:
		return rollout.Retry{Devices: n.Devices}
	case noteApprove:
		return rollout.Approve{Phase: n.Phase}
	case noteAdvance:
		return rollout.Advance{Phase: n.Phase}
	}
	return nil
}

// put puts a note into a rollout's inbox. The loop is woken by whoever commits: see stir.
func (d *Director) put(tx *store.Tx, id string, n note) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := tx.AddRolloutEvent(id, body, d.Clock()); err != nil {
		return fmt.Errorf("telling rollout %s: %w", id, err)
	}
	d.noted.Store(true)
	return nil
}

// eventNotes tells the rollout, if there is one, whose attempt e is about.
func (d *Director) eventNotes(tx *store.Tx, device string, e wire.Event) error {
	attempt, ok := attemptOf(e.Update)
	if !ok {
		return nil
	}
	parts, err := tx.Parts(device)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if rollout.UpdateName(p.Rollout, device, attempt) != e.Update {
			continue
		}
		if e.Say != "" {
			return d.put(tx, p.Rollout, note{Type: noteAnswer, Device: device, Update: e.Update, Say: e.Say, Until: e.Until})
		}
		return d.put(tx, p.Rollout, note{Type: noteReport, Device: device, Update: e.Update, State: e.State, Reason: e.Reason})
	}
	return nil
}

// attemptOf reads the number of the attempt out of a name that may be one of
// rollout.UpdateName.
func attemptOf(update string) (int, bool) {
	const version = 14 // of a UUID: where its digit stands
	if len(update) != 36 || update[version] != '8' {
		return 0, false
	}
	n, err := strconv.ParseUint(update[32:], 16, 16)
	return int(n), err == nil && n > 0
}

// seen tells the rollouts to which a device has fallen silent that it is there.
func (d *Director) seen(tx *store.Tx, device string) error {
	parts, err := tx.Parts(device)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Over || p.State != rollout.Silent.String() {
			continue
		}
		if err := d.put(tx, p.Rollout, note{Type: noteSeen, Device: device}); err != nil {
			return err
		}
	}
	return nil
}

// changed tells the rollouts of a tenant that a device's row has changed: it enrolled,
// reported another version, was moved or revoked. Call it in the update that changes it.
func (d *Director) changed(tx *store.Tx, tenant, device string) error {
	parts, err := tx.Parts(device)
	if err != nil {
		return err
	}
	in := map[string]bool{}
	for _, p := range parts {
		in[p.Rollout] = true
		if p.Over {
			continue
		}
		if err := d.put(tx, p.Rollout, note{Type: noteFacts, Device: device}); err != nil {
			return err
		}
	}
	open, err := tx.OpenRollouts(tenant)
	if err != nil {
		return err
	}
	for _, id := range open {
		joins, err := d.takesLate(tx, id)
		if err != nil {
			return err
		}
		if joins && !in[id] {
			if err := d.put(tx, id, note{Type: noteFacts, Device: device}); err != nil {
				return err
			}
		}
	}
	return nil
}

// takesLate says whether devices that appear now still join a rollout.
func (d *Director) takesLate(tx *store.Tx, id string) (bool, error) {
	until, ok := d.openUntil.Load(id)
	if !ok {
		row, err := tx.Rollout(id)
		if err != nil {
			return false, err
		}
		_, plan, err := readSetup(row)
		if err != nil {
			return false, err
		}
		until = plan.OpenUntil
		d.openUntil.Store(id, until)
	}
	return d.Clock().Before(until.(time.Time)), nil
}

// stir wakes RolloutLoop if anything was put into an inbox. Call it after a commit.
func (d *Director) stir() {
	if !d.noted.Swap(false) {
		return
	}
	select {
	case d.stirred <- struct{}{}:
	default:
	}
}
