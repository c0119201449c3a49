package install

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// idle is how long a worker waits for a frame before it reads back what is durable: where the line is slower than the slot.
const idle = 200 * time.Millisecond

// mostProbed is how many of the frames that were read back early are read again in the end.
const mostProbed = 8

// next is the next piece. A worker that has to wait for long reads back meanwhile.
func (w *worker) next(in <-chan piece) (p piece, ok bool, err error) {
	for {
		timer := time.NewTimer(idle)
		select {
		case p, ok = <-in:
			timer.Stop()
			return p, ok, nil
		case <-timer.C:
		}
		for more := true; more && err == nil; {
			select {
			case p, ok = <-in:
				return p, ok, nil
			default:
				more, err = w.proveNext()
			}
		}
		if err != nil {
			return piece{}, false, err
		}
	}
}

// proveNext reads back the next durable frame, if there is one, and nobody else is at it.
func (w *worker) proveNext() (more bool, err error) {
	if !w.proving.TryLock() {
		return false, nil
	}
	defer w.proving.Unlock()
	f, more := w.nextDurable()
	if !more {
		return false, nil
	}
	right, err := w.holds(f)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return false, w.unwritten(err)
	}
	e := Extent{f.At, f.Length}
	w.mu.Lock()
	defer w.mu.Unlock()
	if right {
		w.right = w.right.with(e)
	} else {
		w.wrong = w.wrong.with(e)
	}
	return true, nil
}

// nextDurable is the next frame that a checkpoint has made durable, in the order of the image.
func (r *run) nextDurable() (f firmware.Frame, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; !r.lost && r.proof < r.c.head.Len(); r.proof++ {
		f = r.c.head.Frame(r.proof)
		e := Extent{f.At, f.Length}
		if !r.durable.covers(e) {
			return f, false
		}
		if !r.right.covers(e) && !r.wrong.covers(e) {
			r.proof++
			return f, true
		}
	}
	return f, false
}

// What a frame turns out to be when it is read back.
const (
	frameRight   = iota
	frameWrong   // it is not what was to be written
	frameChanged // the same, and it was right before
)

// judge reads a frame back, unless that was done while others were fetched. Of those that were right then some are read
// again.
func (w *worker) judge(i int) (verdict int, err error) {
	f := w.c.head.Frame(i)
	e, stride := Extent{f.At, f.Length}, max(1, w.c.head.Len()/mostProbed)
	w.mu.Lock()
	before, wrong := w.right.covers(e), w.wrong.covers(e)
	w.mu.Unlock()
	if wrong {
		return frameWrong, nil
	}
	if before && i%stride != stride/2 {
		return frameRight, nil
	}
	right, err := w.holds(f)
	switch {
	case err != nil && !errors.Is(err, ErrCorrupt):
		return frameWrong, err
	case right:
		return frameRight, nil
	case before:
		return frameChanged, nil
	}
	return frameWrong, nil
}

// readBack lists the frames that the slot holds wrong. What is known already is not read again, but for some frames: if
// one of them has changed since, nothing is known.
func (r *run) readBack(ctx context.Context) ([]int, error) {
	wrong, changed, err := r.readFrames(ctx)
	if err != nil || !changed {
		return wrong, err
	}
	r.Log.Warn("the slot has changed where it was right before: all of it is read again", "slot", r.Slot)
	r.right, r.wrong = nil, nil
	wrong, _, err = r.readFrames(ctx)
	return wrong, err
}
