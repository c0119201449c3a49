package install

import (
	"context"
	"hash/maphash"
	"io"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware"
)

// mostSampled is how many frames are looked at, at most, to find out whether looking at all is worth while.
const mostSampled = 8

// place is where the bytes of a frame may be, other than at the source: at the same offset.
type place struct {
	io.ReaderAt
	keep func(w *worker, e Extent, image []byte) error // the bytes are verified
}

func (r *run) places() []place {
	all := []place{{r.Target, (*worker).leave}}
	if r.Base != nil {
		all = append(all, place{r.Base, (*worker).put})
	}
	return all
}

// keepHeld takes frames of c from where the device has them, so that they need not be fetched. A few frames, here and there,
// tell where it is worth while to look: another image has next to none.
func (r *run) keepHeld(ctx context.Context, c *carrier) error {
	few := r.missing(c)
	n := min(max(len(few)/8, 1), mostSampled, len(few))
	for i := range n {
		few[i] = few[(2*i+1)*len(few)/(2*n)]
	}
	places := r.places()
	hits, err := r.lookAt(ctx, c, few[:n], places)
	if err != nil {
		return err
	}
	var worth []place
	for i := range places {
		if hits[i].Load() > 0 {
			worth = append(worth, places[i])
		}
	}
	if len(worth) > 0 {
		_, err = r.lookAt(ctx, c, r.missing(c), worth)
	}
	return err
}

// missing lists the frames of c that are to be fetched.
func (r *run) missing(c *carrier) []int {
	var stored []int
	for _, i := range r.todo(c) {
		if c.head.Frame(i).Kind != firmware.FrameZero {
			stored = append(stored, i)
		}
	}
	return stored
}

// lookAt takes those frames that some place has, and counts them by place. All workers look.
func (r *run) lookAt(ctx context.Context, c *carrier, frames []int, places []place) (hits []atomic.Int64, err error) {
	hits = make([]atomic.Int64, len(places))
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range r.workers {
		g.Go(func() error {
			w := r.worker()
			defer w.close()
			for i := next.Add(1) - 1; i < int64(len(frames)); i = next.Add(1) - 1 {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				at, err := w.take(c.head.Frame(frames[i]), places)
				if err != nil {
					return err
				}
				if at >= 0 {
					hits[at].Add(1)
				}
			}
			return nil
		})
	}
	return hits, g.Wait()
}

// take brings a frame into the slot from the first place that has it; -1 if none has. A place that cannot be read has not.
func (w *worker) take(f firmware.Frame, places []place) (at int, err error) {
	e, image := Extent{f.At, f.Length}, w.image[:f.Length]
	for i, p := range places {
		if n, _ := p.ReadAt(image, f.At); n < len(image) || firmware.Sum(image) != f.ImageSHA256 {
			continue
		}
		w.mu.Lock()
		w.res.Held += f.Length
		w.mu.Unlock()
		return i, p.keep(w, e, image)
	}
	return -1, nil
}

// leave is put for what the slot holds already.
func (w *worker) leave(e Extent, image []byte) error {
	w.remember(e, image)
	return w.finish(e, tally{unchanged: e.Length})
}

// remember notes what the slot holds at e, for when it is read back.
func (w *worker) remember(e Extent, image []byte) {
	sum := w.keyed(image)
	w.mu.Lock()
	w.sums[e] = sum
	w.mu.Unlock()
}

// keyedPiece is what is hashed in one go.
const keyedPiece = firmware.MinFrameSize

// keyed is the hash of some bytes under the key of this run.
func (w *worker) keyed(p []byte) (sum uint64) {
	for piece := range slices.Chunk(p, keyedPiece) {
		sum = w.keyedOn(sum, piece)
	}
	return sum
}

// keyedOn is the hash of what has the hash sum and another piece. maphash.Bytes would take it 128 bytes at a time, and three times as long.
func (w *worker) keyedOn(sum uint64, piece []byte) uint64 {
	return maphash.Comparable(w.seed, struct {
		sum   uint64
		piece string
	}{sum, unsafe.String(unsafe.SliceData(piece), len(piece))})
}
