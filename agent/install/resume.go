package install

import "github.com/fairlead/fairlead/firmware"

// resume marks what an earlier attempt left in the slot, and binds the journal.
func (r *run) resume() error {
	durable, resumed, err := r.journal.bind(newRecord(r.Slot, r.Manifest), r.head.Len())
	if err != nil {
		return err
	}
	for i := range durable {
		r.done[i] = true
	}
	if resumed {
		r.look(durable)
	}
	r.res.Skipped = r.finished()
	r.Log.Info("installing", "release", r.Manifest.Version, "slot", r.Slot, "bytes", r.head.ImageLength(), "kept", r.res.Skipped)
	return nil
}

// look keeps what was written after the last record of the journal. It need not be durable: the next checkpoint makes it
// so. Frames of zeros are not looked at, as they cost nothing to write.
func (r *run) look(from int) {
	buf := r.images.take()
	defer r.images.give(buf)
	size := int64(r.head.FrameSize())
	window := r.Limits.Checkpoint + r.Limits.Buffers + size // further the writer cannot have been
	for i := from; i < r.head.Len() && window > 0; i++ {
		if r.head.Frame(i).Kind == firmware.FrameZero {
			continue
		}
		window -= size
		if right, err := r.holds(i, buf); err == nil && right {
			r.done[i] = true
			r.since += r.head.Frame(i).Length
		}
	}
}
