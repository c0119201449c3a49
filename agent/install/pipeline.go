package install

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"golang.org/x/sync/errgroup"
)

// pass brings the frames of todo into the slot, all stages at once. Frames that the source gave wrong are in bad
// afterwards, and not done. When fetching ends early, what was fetched is still written.
func (r *run) pass(ctx context.Context, c *carrier, todo []int) (bad []error, err error) {
	g, working := errgroup.WithContext(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	context.AfterFunc(working, func() { cancel(context.Cause(working)) })
	pieces := make(chan piece, 1)
	var wrong badFrames
	for range r.workers {
		g.Go(func() error { return r.work(working, c, pieces, &wrong) })
	}
	fetched := r.fetch(ctx, c, todo, pieces)
	close(pieces)
	return wrong.errs, cmp.Or(g.Wait(), fetched)
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
	decoder
}

// decoder turns stored bytes into image bytes, and compares both with the index.
type decoder interface {
	Decode(dst []byte, f firmware.Frame, stored []byte) ([]byte, error)
	Close()
}

// patchDecoder reads from the base.
type patchDecoder struct {
	*delta.Decoder
	base   io.ReaderAt
	length int64
}

func (d patchDecoder) Decode(dst []byte, f firmware.Frame, stored []byte) ([]byte, error) {
	return d.Decoder.Decode(dst, f, stored, d.base, d.length)
}

func (r *run) newDecoder(c *carrier) (decoder, error) {
	if !c.isPatch() { // a chunk is shorter than a frame
		return firmware.NewDecoder(c.head.FrameSize())
	}
	d, err := delta.NewDecoder(c.head.FrameSize())
	if err != nil {
		return nil, err
	}
	d.Shared = r.Shared
	return patchDecoder{d, r.Base, c.from.Length}, nil
}

// worker has room of its own until it is closed.
func (r *run) worker() *worker {
	room := r.images.take()
	size := len(room) - r.chunk
	return &worker{run: r, room: room, image: room[:size:size], held: room[size:], kinds: make([]byte, size/blockSize)}
}

func (w *worker) close() {
	w.images.give(w.room)
	if w.decoder != nil {
		w.decoder.Close()
	}
}

// work verifies, decodes, verifies again and writes.
func (r *run) work(ctx context.Context, c *carrier, in <-chan piece, bad *badFrames) (err error) {
	w := r.worker()
	defer w.close()
	d, err := r.newDecoder(c)
	if err != nil {
		return err
	}
	w.decoder = d
	for {
		p, ok, err := w.next(in)
		if err != nil || !ok {
			return err
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if p.stored == nil {
			err = w.zero(p.extent())
		} else {
			err = w.frame(c, p, bad)
		}
		if err != nil {
			return err
		}
	}
}

// frame turns stored bytes into image bytes and brings them into the slot.
func (w *worker) frame(c *carrier, p piece, bad *badFrames) error {
	switch {
	case c.chunks != nil:
		return w.assemble(c, p)
	case p.Kind == firmware.FrameRaw:
		return w.raw(p, bad)
	}
	image, err := w.Decode(w.image[:0], p.Frame, p.stored)
	came := err == nil || firmware.Sum(p.stored) == p.StoredSHA256
	w.stored.give(p.stored)
	switch {
	case err != nil && came && p.Kind == firmware.FrameDelta: // what is stored is read in the light of the base
		return w.refuse(c, p.extent(), err)
	case err != nil:
		return bad.add(err)
	case p.Kind == firmware.FrameDelta:
		w.patched(p.extent())
	}
	return w.put(p.extent(), image)
}

// raw is frame for one that is stored as it is: it is written from where it lies.
func (w *worker) raw(p piece, bad *badFrames) error {
	defer w.stored.give(p.stored)
	if int64(len(p.stored)) != p.Length || firmware.Sum(p.stored) != p.ImageSHA256 {
		return bad.add(fmt.Errorf("frame %d: its bytes are not those of the index: %w", p.Index, firmware.ErrCorrupt))
	}
	return w.put(p.extent(), p.stored)
}
