package store

import (
	"slices"
	"strings"
)

// RolloutRow is a device's part in a rollout: the members of rollout.Row, as they are kept.
type RolloutRow struct {
	Device                        string
	State                         string
	Reason                        string
	Phase, Attempt, Step, Strikes int
	Flags                         int
	Zone                          string
	Timer, Until, First           int64 // seconds since 1970, 0 for none
	// Held says that the rollout has the device, and no other may: rollout.State.Holds.
	Held bool
}

const rolloutColumns = "device, state, reason, phase, attempt, step, strikes, flags, zone, timer, until, first, held"

func scanRolloutRow(r scanner) (o RolloutRow, err error) {
	err = r.Scan(&o.Device, &o.State, &o.Reason, &o.Phase, &o.Attempt, &o.Step, &o.Strikes, &o.Flags, &o.Zone, &o.Timer, &o.Until, &o.First, &o.Held)
	return o, err
}

// SetRolloutRows stores rows of a rollout, new ones and changed ones. Each device stands there
// once. ErrConflict if another rollout holds a device that is to be held: have it free the
// device first, in the same update.
func (t *Tx) SetRolloutRows(rollout string, rows []RolloutRow) error {
	// Those that let go before those that take hold.
	for _, held := range []bool{false, true} {
		var part []RolloutRow
		for _, r := range rows {
			if r.Held == held {
				part = append(part, r)
			}
		}
		// In the order of the table, which is much faster.
		slices.SortFunc(part, func(a, b RolloutRow) int { return strings.Compare(a.Device, b.Device) })
		if err := t.setRolloutRows(rollout, part); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) setRolloutRows(rollout string, rows []RolloutRow) error {
	return insert(t, rows, 14, func(r RolloutRow) []any {
		return []any{rollout, r.Device, r.State, r.Reason, r.Phase, r.Attempt, r.Step, r.Strikes, r.Flags, r.Zone, r.Timer, r.Until, r.First, r.Held}
	}, "INSERT INTO rollout_rows (rollout, "+rolloutColumns+")", ` ON CONFLICT (rollout, device) DO UPDATE SET state = excluded.state,
	  reason = excluded.reason, phase = excluded.phase, attempt = excluded.attempt, step = excluded.step, strikes = excluded.strikes,
	  flags = excluded.flags, zone = excluded.zone, timer = excluded.timer, until = excluded.until, first = excluded.first, held = excluded.held`)
}

// EachRolloutRow calls f for every row of a rollout, by device, until it returns an error. f
// must not use the transaction.
func (t *Tx) EachRolloutRow(rollout string, f func(RolloutRow) error) error {
	return each(t, scanRolloutRow, f, "SELECT "+rolloutColumns+" FROM rollout_rows WHERE rollout = ? ORDER BY device", rollout)
}

// RolloutRow returns one row, or ErrNotFound.
func (t *Tx) RolloutRow(rollout, device string) (RolloutRow, error) {
	return get(t, scanRolloutRow, "SELECT "+rolloutColumns+" FROM rollout_rows WHERE rollout = ? AND device = ?", rollout, device)
}

// RowQuery picks rows of a rollout. Empty members pick all.
type RowQuery struct {
	Rollout string // must be set
	State   string
	After   string // devices after this one, for the next page
	Limit   int    // zero for 1000
}

// RolloutRows returns a page of rows by device.
func (t *Tx) RolloutRows(q RowQuery) ([]RolloutRow, error) {
	w := where{}
	w.equal("rollout", q.Rollout)
	w.and("device > ?", q.After)
	w.equal("state", q.State)
	return list(t, scanRolloutRow, "SELECT "+rolloutColumns+" FROM rollout_rows"+w.text()+" ORDER BY device LIMIT ?", append(w.args, limit(q.Limit))...)
}

// Holder returns the rollout that holds a device, or ErrNotFound.
func (t *Tx) Holder(device string) (string, error) {
	return get(t, scanOne[string], "SELECT rollout FROM rollout_rows WHERE device = ? AND held", device)
}
