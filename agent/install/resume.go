package install

import (
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// resume marks what an earlier attempt left in the slot, and binds the journal.
func (r *run) resume() error {
	durable, resumed, err := r.journal.bind(newRecord(r.Slot, r.Manifest), r.Manifest.Image.Length)
	if err != nil {
		return err
	}
	r.keep(r.c)
	if r.done = durable; resumed {
		r.look()
	}
	r.res.Skipped, r.synced = r.done.total(), time.Now()
	r.Log.Info("installing", "release", r.Manifest.Version, "slot", r.Slot, "bytes", r.Manifest.Image.Length, "kept", r.res.Skipped)
	return nil
}

// look keeps what was written after the last record of the journal. It need not be durable: the next checkpoint makes it
// so. Frames of zeros are not looked at, as they cost nothing to write.
func (r *run) look() {
	w := r.worker()
	defer w.close()
	window := 3*r.Limits.Checkpoint + r.Limits.Buffers // further the workers cannot have been
	for _, i := range r.todo(r.c) {
		f := r.c.head.Frame(i)
		if window <= 0 {
			return
		}
		if f.Kind == firmware.FrameZero {
			continue
		}
		window -= f.Length
		e := Extent{f.At, f.Length}
		if right, err := w.holds(f); err == nil && right {
			r.done = r.done.with(e)
			r.since += f.Length
		}
	}
}
