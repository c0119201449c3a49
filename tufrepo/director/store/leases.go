package store

import (
	"errors"
	"fmt"
	"time"
)

// ErrHeld: another has the lease.
var ErrHeld = errors.New("another director has it")

// Lease is somebody's right to do something alone, such as to take the turns of a rollout.
type Lease struct {
	Name, Holder string
	Until        time.Time // to the millisecond
	// Term grows by one when the lease goes to another holder. A holder that finds its term
	// unchanged knows that nobody had it in between.
	Term int64
}

const rolloutLease = "rollout/"

// RolloutLease is the name of the lease under which a rollout's turns are taken.
func RolloutLease(id string) string { return rolloutLease + id }

const selectLease = "SELECT name, holder, until, term FROM leases"

func scanLease(r scanner) (Lease, error) {
	var l Lease
	var until int64
	err := r.Scan(&l.Name, &l.Holder, &until, &l.Term)
	l.Until = time.UnixMilli(until).UTC()
	return l, err
}

// Lease takes or renews a lease for holder. Where another has it and its time is not over,
// the error is ErrHeld and the lease is the other's.
//
// Taken at the beginning of an Update, it also keeps everybody else who does so from
// committing at the same time: of two such updates one runs again after the other, and finds
// what it did. So what is done under a lease is never done twice, also by directors whose
// clocks differ, or that have slept past the end of theirs.
func (t *Tx) Lease(name, holder string, until, now time.Time) (Lease, error) {
	n, err := t.exec(`INSERT INTO leases (name, holder, until, term) VALUES (?, ?, ?, 1)
	  ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until,
	  term = leases.term + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
	  WHERE leases.holder = excluded.holder OR leases.until <= ?`, name, holder, until.UnixMilli(), now.UnixMilli())
	if err != nil {
		return Lease{}, err
	}
	l, err := get(t, scanLease, selectLease+" WHERE name = ?", name)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: %w: %s until %s", name, ErrHeld, l.Holder, l.Until.Format(time.RFC3339))
	}
	return l, err
}

// EndLease gives up a lease before its time. One that holder does not have stays.
func (t *Tx) EndLease(name, holder string) error {
	return t.do("UPDATE leases SET until = 0 WHERE name = ? AND holder = ?", name, holder)
}

// DropLease forgets a lease whose name is not used again.
func (t *Tx) DropLease(name string) error {
	return t.do("DELETE FROM leases WHERE name = ?", name)
}

// Leases returns all leases by name, those whose time is over too.
func (t *Tx) Leases() ([]Lease, error) {
	return list(t, scanLease, selectLease+" ORDER BY name")
}
