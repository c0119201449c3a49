package install

import (
	"context"
	"fmt"
	"sync"

	"github.com/fairlead/fairlead/firmware"
	"golang.org/x/sync/errgroup"
)

// pass brings the frames of todo into the slot, all stages at once. Frames that the source gave wrong are in r.bad
// afterwards, and not done.
func (r *run) pass(ctx context.Context, todo []int) error {
	g, ctx := errgroup.WithContext(ctx)
	fetched, decoded := make(chan piece, 1), make(chan piece, 1)
	g.Go(func() error {
		defer close(fetched)
		return r.fetch(ctx, todo, fetched)
	})
	var workers sync.WaitGroup
	var bad badFrames
	for range r.Limits.Workers {
		workers.Add(1)
		g.Go(func() error {
			defer workers.Done()
			return r.decode(ctx, fetched, decoded, &bad)
		})
	}
	g.Go(func() error {
		workers.Wait()
		close(decoded)
		return nil
	})
	g.Go(func() error { return r.write(decoded) })
	err := g.Wait()
	r.bad = bad.errs
	return err
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

// decode is one worker: it verifies, decodes and verifies again.
func (r *run) decode(ctx context.Context, in <-chan piece, out chan<- piece, bad *badFrames) error {
	decoder, err := firmware.NewDecoder(r.head.FrameSize())
	if err != nil {
		return err
	}
	defer decoder.Close()
	for p := range in {
		if p.bytes != nil {
			ok, err := r.decodeFrame(ctx, decoder, &p, bad)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
		}
		if err := send(ctx, out, p); err != nil {
			return err
		}
	}
	return nil
}

// decodeFrame exchanges the piece's stored bytes for its image bytes.
func (r *run) decodeFrame(ctx context.Context, decoder *firmware.Decoder, p *piece, bad *badFrames) (ok bool, err error) {
	buf, err := r.images.wait(ctx)
	if err != nil {
		return false, err
	}
	image, wrong := decoder.Decode(buf[:0], p.Frame, p.bytes)
	r.stored.give(p.buffer)
	if wrong != nil {
		r.images.give(buf)
		return false, bad.add(wrong)
	}
	p.bytes, p.buffer = image, buf
	return true, nil
}

// write is the only one that changes the slot.
func (r *run) write(in <-chan piece) error {
	total := r.head.ImageLength()
	finished := r.finished()
	for p := range in {
		if err := r.writePiece(p); err != nil {
			return err
		}
		for i := range p.count {
			r.done[p.Index+i] = true
		}
		finished += p.length
		r.report(PhaseInstall, finished, total)
		if r.since >= r.Limits.Checkpoint {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) writePiece(p piece) error {
	r.since += p.length
	if p.bytes == nil {
		r.res.Zeroed += p.length
		if err := r.Target.Zero(p.At, p.length); err != nil {
			return slotError(fmt.Sprintf("zeroing the slot at byte %d", p.At), err)
		}
		return nil
	}
	n, err := r.Target.WriteAt(p.bytes, p.At)
	if err == nil && n != len(p.bytes) {
		err = fmt.Errorf("%d of %d bytes were taken", n, len(p.bytes))
	}
	if err != nil {
		return slotError(fmt.Sprintf("writing the slot at byte %d", p.At), err)
	}
	r.res.Written += p.length
	r.images.give(p.buffer)
	return nil
}

// finished is the length of the frames that are done.
func (r *run) finished() int64 {
	var n int64
	for i, done := range r.done {
		if done {
			n += r.head.Frame(i).Length
		}
	}
	return n
}

func (r *run) report(phase string, done, total int64) {
	if r.Progress != nil {
		r.Progress(Progress{Phase: phase, Done: done, Total: total, Fetched: r.fetched.Load()})
	}
}
