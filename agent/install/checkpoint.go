package install

import (
	"errors"
	"time"
)

// checkpointEvery is the longest time between two checkpoints, for slow lines.
const checkpointEvery = 3 * time.Second

// finish notes that the slot holds the image bytes of e, and makes a checkpoint when it is time for one. The other workers
// go on meanwhile, but not for long.
func (r *run) finish(e Extent, n tally) error {
	r.mu.Lock()
	r.done = r.done.with(e)
	r.right, r.wrong = r.right.without(e), r.wrong.without(e)
	r.since += e.Length
	r.res.Written += n.written
	r.res.Unchanged += n.unchanged
	r.res.Zeroed += n.zeroed
	due, late := r.due()
	r.mu.Unlock()
	r.report(PhaseInstall)
	if late {
		r.syncing.Lock()
	} else if !due || !r.syncing.TryLock() {
		return nil
	}
	defer r.syncing.Unlock()
	r.mu.Lock()
	due, _ = r.due()
	r.mu.Unlock()
	if !due {
		return nil // the one that was waited for has done it
	}
	return r.checkpoint()
}

// due says whether it is time for a checkpoint, or more than time.
func (r *run) due() (due, late bool) {
	due = r.since >= r.Limits.Checkpoint || r.since > 0 && time.Since(r.synced) >= checkpointEvery
	return due, r.since >= 2*r.Limits.Checkpoint
}

// checkpoint makes all that is done durable, and only then says so in the journal. A journal that cannot be written does
// not stop an install: it costs a resume.
func (r *run) checkpoint() error {
	r.mu.Lock()
	done, lost := r.done, r.lost
	r.since, r.synced = 0, time.Now()
	r.mu.Unlock()
	if lost {
		return nil // somebody else has met it
	}
	if err := r.Target.Sync(); err != nil {
		r.mu.Lock()
		r.lost = true
		r.mu.Unlock()
		return r.unwritten(slotError("syncing the slot, which counts as unwritten now", err))
	}
	r.mu.Lock()
	r.durable = done
	r.mu.Unlock()
	if err := r.journal.advance(done); err != nil {
		r.Log.Warn("an interrupted install would start over", "err", err)
	}
	return nil
}

// settle keeps what was written before an error, unless the slot itself is what failed.
func (r *run) settle(err error) error {
	if r.lost || errors.Is(err, ErrIO) || errors.Is(err, ErrNoSpace) || r.since == 0 {
		return err
	}
	return errors.Join(err, r.checkpoint())
}

// unwritten forgets what the journal says of the slot.
func (r *run) unwritten(err error) error {
	return errors.Join(err, r.journal.drop())
}
