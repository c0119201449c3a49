package install

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/fairlead/fairlead/firmware"
	"golang.org/x/sync/errgroup"
)

// verifyBuffer is the size of each of VerifySlot's two buffers.
const verifyBuffer = 1 << 20

// VerifySlot reads the slot, past the page cache where the system lets us, and compares it with the image. ErrCorrupt if
// it holds something else, ErrIO if it cannot be read. It is asked right before a slot is tried.
func VerifySlot(ctx context.Context, d io.ReaderAt, image firmware.Blob, progress func(Progress)) error {
	bufs, err := newBuffers(2, verifyBuffer)
	if err != nil {
		return err
	}
	defer bufs.close()
	return verifyImage(ctx, d, image, bufs, func(done int64) {
		if progress != nil {
			progress(Progress{Phase: PhaseVerify, Done: done, Total: image.Length})
		}
	})
}

// verifyImage hashes one chunk while the next is read.
func verifyImage(ctx context.Context, d io.ReaderAt, image firmware.Blob, bufs *buffers, progress func(done int64)) error {
	g, ctx := errgroup.WithContext(ctx)
	chunks := make(chan []byte) // whole buffers, of which the last may be filled in part
	g.Go(func() error {
		defer close(chunks)
		return readChunks(ctx, d, image.Length, bufs, chunks)
	})
	hash := sha256.New()
	g.Go(func() error {
		var done int64
		for buf := range chunks {
			n := min(int64(len(buf)), image.Length-done)
			hash.Write(buf[:n])
			done += n
			bufs.give(buf)
			progress(done)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if firmware.Digest(hash.Sum(nil)) != image.SHA256 {
		return fmt.Errorf("%w: the slot does not hold the image %s", ErrCorrupt, image.SHA256)
	}
	return nil
}

func readChunks(ctx context.Context, d io.ReaderAt, length int64, bufs *buffers, out chan<- []byte) error {
	for offset := int64(0); offset < length; {
		buf, err := bufs.wait(ctx)
		if err != nil {
			return err
		}
		n := min(int64(len(buf)), length-offset)
		if err := readSlot(d, buf[:n], offset); err != nil {
			bufs.give(buf)
			return err
		}
		offset += n
		select {
		case out <- buf:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func readSlot(d io.ReaderAt, p []byte, offset int64) error {
	n, err := d.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the slot ends at byte %d", ErrCorrupt, offset+int64(n))
	}
	return slotError(fmt.Sprintf("reading the slot at byte %d", offset+int64(n)), err)
}

// prove reads the whole image back, and heals each frame that is wrong once. A slot that cannot be read back counts as
// unwritten.
func (r *run) prove(ctx context.Context) error {
	wrong, err := r.readBack(ctx)
	if err != nil || len(wrong) == 0 {
		return err
	}
	r.Log.Warn("frames read back wrong are fetched and written again", "slot", r.Slot, "frames", wrong)
	r.res.Healed += len(wrong)
	for _, i := range wrong {
		f := r.c.head.Frame(i)
		r.done = r.done.without(Extent{f.At, f.Length})
	}
	if err := r.fill(ctx); err != nil {
		return r.settle(err)
	}
	if wrong, err = r.readBack(ctx); err != nil || len(wrong) == 0 {
		return err
	}
	f := r.c.head.Frame(wrong[0])
	return r.unwritten(fmt.Errorf("%w: frame %d, at byte %d of the slot, was written twice and reads back wrong; %d frames do: the medium is failing",
		ErrCorrupt, f.Index, f.At, len(wrong)))
}

// readFrames lists the frames that the slot holds wrong. All workers read. One that was right before has changed.
func (r *run) readFrames(ctx context.Context) (wrong []int, changed bool, err error) {
	g, ctx := errgroup.WithContext(ctx)
	r.proven.Store(0)
	r.report(PhaseVerify)
	var next atomic.Int64
	for range r.workers {
		g.Go(func() error {
			w := r.worker()
			defer w.close()
			for i := int(next.Add(1) - 1); i < r.c.head.Len(); i = int(next.Add(1) - 1) {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				v, err := w.judge(i)
				if err != nil {
					return err
				}
				r.mu.Lock()
				if changed = changed || v == frameChanged; v != frameRight {
					wrong = append(wrong, i)
				}
				r.mu.Unlock()
				r.proven.Add(r.c.head.Frame(i).Length)
				r.report(PhaseVerify)
			}
			return nil
		})
	}
	if err := g.Wait(); errors.Is(err, ErrIO) {
		return nil, false, r.unwritten(err)
	} else if err != nil {
		return nil, false, err
	}
	slices.Sort(wrong)
	return wrong, changed, nil
}

// lender is a Device in memory, as of a simulated fleet: what it holds can be compared where it lies. Lend returns bytes from off on, n
// of them or fewer, to which nobody writes before the next write to the Device.
type lender interface {
	Lend(off int64, n int) []byte
}

// lent is holds for a frame that this run has written, as far as the slot lends it.
func (w *worker) lent(f firmware.Frame, want uint64) (right, all bool) {
	l, ok := w.Target.(lender)
	if !ok {
		return false, false
	}
	sum, zero := uint64(0), true
	for at := int64(0); at < f.Length; at += keyedPiece {
		n := int(min(keyedPiece, f.Length-at))
		p := l.Lend(f.At+at, n)
		if len(p) < n {
			return false, false
		}
		if f.Kind == firmware.FrameZero {
			zero = zero && isZero(p)
		} else {
			sum = w.keyedOn(sum, p)
		}
	}
	return zero && (f.Kind == firmware.FrameZero || sum == want), true
}

// holds reads a frame from the slot and compares it: with what this run has written, which was verified before, by a hash
// that nobody else can know; else by the index.
func (w *worker) holds(f firmware.Frame) (bool, error) {
	w.mu.Lock()
	sum, known := w.sums[Extent{f.At, f.Length}]
	w.mu.Unlock()
	if known || f.Kind == firmware.FrameZero {
		if right, all := w.lent(f, sum); all {
			return right, nil
		}
	}
	p := w.image[:f.Length]
	if err := readSlot(w.Target, p, f.At); err != nil {
		return false, err
	}
	if f.Kind == firmware.FrameZero {
		return isZero(p), nil
	}
	if known {
		return w.keyed(p) == sum, nil
	}
	return firmware.Sum(p) == f.ImageSHA256, nil
}
