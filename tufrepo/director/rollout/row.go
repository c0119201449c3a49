package rollout

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
)

// Head is the rollout's own row: some hundred bytes, a few thousand at most.
type Head struct {
	Run    Run         `json:"run"`
	Reason string      `json:"reason,omitempty"` // of Run, for people
	Phase  int         `json:"phase"`            // from 0; -1 before the first
	Phases []PhaseHead `json:"phases"`
	Back   bool        `json:"back,omitempty"`   // it rolls back, or did
	Braked bool        `json:"braked,omitempty"` // paused by itself, for failures
	// SaidRun and SaidReason are what the last action about Run said.
	SaidRun    Run      `json:"said_run,omitempty"`
	SaidReason string   `json:"said_reason,omitempty"`
	Starts     []Starts `json:"starts,omitempty"` // of the last minute
}

// PhaseHead is a phase's part of Head. Times are seconds since 1970, 0 for not yet.
type PhaseHead struct {
	Passed   int64 `json:"passed,omitempty"` // when enough devices had committed
	Approved bool  `json:"approved,omitempty"`
	Skipped  bool  `json:"skipped,omitempty"` // by Advance
	// What was forgiven by Resume: the brake counts from here.
	Bad   int `json:"bad,omitempty"`
	Ended int `json:"ended,omitempty"`
}

// Row is what is kept of one device. Times are seconds since 1970, 0 for none.
type Row struct {
	Device  string `json:"device"`
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"` // why it failed, or is excluded
	Phase   int    `json:"phase"`            // from 0; -1 for none
	Attempt int    `json:"attempt,omitempty"`
	Step    int    `json:"step,omitempty"`
	Strikes int    `json:"strikes,omitempty"`
	Flags   int    `json:"flags,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Timer   int64  `json:"timer,omitempty"`
	Until   int64  `json:"until,omitempty"`
	First   int64  `json:"first,omitempty"`
}

// Changes returns what has changed since the last call: the head if headChanged, and the
// rows of devices. After New these are all.
func (r *Rollout) Changes() (head Head, headChanged bool, rows []Row) {
	head = r.Head()
	if headChanged = !reflect.DeepEqual(head, r.written); headChanged {
		r.written = r.Head()
	}
	if len(r.touched) > 0 {
		rows = make([]Row, len(r.touched))
	}
	for n, i := range r.touched {
		rows[n] = r.row(i)
		r.recs[i].clear(touched)
	}
	r.touched = r.touched[:0]
	return head, headChanged, rows
}

// Head returns the head as it stands.
func (r *Rollout) Head() Head {
	h := r.head
	h.Phases = slices.Clone(h.Phases)
	h.Starts = r.pace.starts()
	return h
}

// Rows returns all rows, in no particular order.
func (r *Rollout) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for i := range r.recs {
			if !yield(r.row(int32(i))) {
				return
			}
		}
	}
}

// Row returns the row of one device; false if it is not in the rollout.
func (r *Rollout) Row(device string) (Row, bool) {
	i, ok := r.index[device]
	if !ok {
		return Row{}, false
	}
	return r.row(i), true
}

func (r *Rollout) row(i int32) Row {
	d := &r.recs[i]
	return Row{Device: d.id, State: d.state, Reason: d.reason, Phase: int(d.phase), Attempt: int(d.attempt), Step: int(d.step),
		Strikes: int(d.strikes), Flags: int(d.flags & persisted), Zone: r.zones[d.zone].name, Timer: d.timer, Until: d.until, First: d.first}
}

// Restore makes the rollout again that Head and Rows came from, whatever the order of the
// rows. Nothing counts as changed.
func Restore(s Setup, head Head, rows iter.Seq[Row]) (*Rollout, error) {
	r, err := open(s)
	if err != nil {
		return nil, err
	}
	if err := head.check(len(r.spec.Phases)); err != nil {
		return nil, fmt.Errorf("restoring rollout %s: %w", s.ID, err)
	}
	r.head = head
	r.head.Phases = slices.Clone(head.Phases)
	r.pace.load(head.Starts)
	r.head.Starts = nil
	for row := range rows {
		if err := r.load(row); err != nil {
			return nil, fmt.Errorf("restoring rollout %s: device %s: %w", s.ID, row.Device, err)
		}
	}
	r.derive()
	r.written = r.Head()
	return r, nil
}

func (h Head) check(phases int) error {
	switch h.Run {
	case Scheduled, Running, Paused, RollingBack, Finished, Aborted, RolledBack:
	default:
		return fmt.Errorf("it is said to be %.40q, which is no state of a rollout", string(h.Run))
	}
	if len(h.Phases) != phases || h.Phase < -1 || h.Phase >= phases {
		return fmt.Errorf("phase %d of %d does not go with a plan of %d phases: was the plan changed?", h.Phase, len(h.Phases), phases)
	}
	return nil
}

func (r *Rollout) load(row Row) error {
	_, twice := r.index[row.Device]
	switch {
	case row.Device == "" || twice:
		return fmt.Errorf("it is missing its name or stands there twice")
	case row.State >= numStates || row.Phase < -1 || row.Phase >= len(r.spec.Phases):
		return fmt.Errorf("state %v, phase %d: there is no such", row.State, row.Phase)
	case row.Attempt < 0 || row.Attempt > maxAttempts || row.Step < 0 || row.Step > int(stepTrying) || row.Strikes < 0 || row.Strikes > maxStrikes:
		return fmt.Errorf("attempt %d, step %d, strikes %d: out of range", row.Attempt, row.Step, row.Strikes)
	}
	zone, err := r.zoneOf(row.Zone)
	if err != nil {
		return err
	}
	d := record{id: row.Device, reason: row.Reason, key: position(r.setup.ID, row.Device), timer: row.Timer, until: row.Until,
		first: row.First, flags: flags(row.Flags) & persisted, zone: zone, attempt: uint16(row.Attempt), state: row.State,
		step: uint8(row.Step), strikes: uint8(row.Strikes)}
	d.setPhase(row.Phase)
	r.index[row.Device] = int32(len(r.recs))
	r.recs = append(r.recs, d)
	return nil
}
