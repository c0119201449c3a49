package director

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

const (
	// rolloutPoll is how often a director looks for itself whether turns are due: notes that
	// another one has put into an inbox wake nobody here.
	rolloutPoll = time.Second
	// rolloutGap is the rest between rounds, in which reports gather.
	rolloutGap = 100 * time.Millisecond
	// retryAfter is how long a rollout rests whose turn has failed.
	retryAfter = 10 * time.Second
)

// RolloutLoop takes the turns of rollouts until ctx ends. Several directors may run it on one
// database.
func (d *Director) RolloutLoop(ctx context.Context) error {
	for {
		if _, err := d.TakeTurns(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error("rollouts do not go on", "error", err)
		}
		if rest(ctx, nil, rolloutGap) && rest(ctx, d.stirred, cmp.Or(d.Look, rolloutPoll)) {
			continue
		}
		return nil
	}
}

// rest waits for a time, or to be woken; false when ctx ends.
func rest(ctx context.Context, woken <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-timer.C:
	}
	return true
}

// nudge wakes RolloutLoop.
func (d *Director) nudge() {
	d.noted.Store(true)
	d.stir()
}

// TakeTurns takes every turn that is due now, and says how many it took. Those of rollouts
// that another director has are left to it. On an older copy of the database none is taken.
func (d *Director) TakeTurns(ctx context.Context) (n int, err error) {
	if d.Older() != nil {
		return 0, nil // what it says of rollouts is not so any more
	}
	d.dropIdle()
	var due []string
	err = d.Store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.RolloutsDue(d.Clock())
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, id := range due {
		if d.resting(id) {
			continue
		}
		took, one := d.turns(ctx, id)
		n += took
		if one != nil {
			err = errors.Join(err, fmt.Errorf("rollout %s: %w", id, one))
		}
	}
	return n, err
}

// turnsAtOnce is how many turns one rollout takes before others have theirs.
const turnsAtOnce = 8

// turns takes the turns of one rollout as long as there is more to do.
func (d *Director) turns(ctx context.Context, id string) (n int, err error) {
	for more := true; more && n < turnsAtOnce; n++ {
		more, err = d.turn(ctx, id, nil)
		if errors.Is(err, errElsewhere) {
			return n, nil
		}
		if err != nil {
			d.failed(id)
			return n, err
		}
	}
	return n, nil
}

// resting says whether the turn of a rollout has failed a moment ago.
func (d *Director) resting(id string) bool {
	m := d.mind(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	since := d.Clock().Sub(m.failed)
	return since >= 0 && since < retryAfter
}

func (d *Director) failed(id string) {
	m := d.mind(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = d.Clock()
}
