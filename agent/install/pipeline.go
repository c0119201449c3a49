package install

import (
	"context"
	"fmt"
	"sync"

	"github.com/fairlead/fairlead/firmware"
	"golang.org/x/sync/errgroup"
)

// pass brings the frames of todo into the slot, all stages at once. Frames that the source gave wrong are in bad
// afterwards, and not done.
func (r *run) pass(ctx context.Context, c *carrier, todo []int) (bad []error, err error) {
	g, ctx := errgroup.WithContext(ctx)
	pieces := make(chan piece, r.workers)
	g.Go(func() error {
		defer close(pieces)
		return r.fetch(ctx, c, todo, pieces)
	})
	var wrong badFrames
	for range r.workers {
		g.Go(func() error { return r.work(ctx, c, pieces, &wrong) })
	}
	err = g.Wait()
	return wrong.errs, err
}

// badFrames collects what the workers find wrong.
type badFrames struct {
	mu   sync.Mutex
	errs []error
}

// add returns an error when there is one too many.
func (b *badFrames) add(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errs = append(b.errs, fmt.Errorf("%w: the source: %w", ErrCorrupt, err))
	if len(b.errs) > maxBad {
		return fmt.Errorf("%w: the source gave %d wrong frames, the last: %w", ErrCorrupt, len(b.errs), err)
	}
	return nil
}

// worker brings frames into the slot, one at a time.
type worker struct {
	*run
	room  []byte // all of it
	image []byte // room for the image bytes of a frame
	held  []byte // room for a part of what the slot holds
	kinds []byte // of the blocks of a frame
	zstd  *firmware.Decoder
}

// worker has room of its own until it is closed.
func (r *run) worker() *worker {
	room := r.images.take()
	size := len(room) - r.chunk
	return &worker{run: r, room: room, image: room[:size:size], held: room[size:], kinds: make([]byte, size/blockSize)}
}

func (w *worker) close() {
	w.images.give(w.room)
	if w.zstd != nil {
		w.zstd.Close()
	}
}

// work verifies, decodes, verifies again and writes.
func (r *run) work(ctx context.Context, c *carrier, in <-chan piece, bad *badFrames) (err error) {
	w := r.worker()
	defer w.close()
	if w.zstd, err = firmware.NewDecoder(c.head.FrameSize()); err != nil {
		return err
	}
	for p := range in {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if p.stored == nil {
			err = w.zero(p.extent())
		} else {
			err = w.frame(p, bad)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame turns stored bytes into image bytes and brings them into the slot.
func (w *worker) frame(p piece, bad *badFrames) error {
	defer w.stored.give(p.stored)
	image, err := w.decode(p)
	if err != nil {
		return bad.add(err)
	}
	return w.put(p.extent(), image)
}

// decode returns the image bytes of a frame, verified. What is stored raw stays where it is.
func (w *worker) decode(p piece) ([]byte, error) {
	if p.Kind != firmware.FrameRaw {
		return w.zstd.Decode(w.image[:0], p.Frame, p.stored)
	}
	if int64(len(p.stored)) != p.Length || firmware.Sum(p.stored) != p.ImageSHA256 {
		return nil, fmt.Errorf("frame %d: its bytes are not those of the index: %w", p.Index, firmware.ErrCorrupt)
	}
	return p.stored, nil
}
