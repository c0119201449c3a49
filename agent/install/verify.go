package install

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

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
	return readBack(ctx, d, image, bufs, func(done int64) {
		if progress != nil {
			progress(Progress{Phase: PhaseVerify, Done: done, Total: image.Length})
		}
	})
}

// readBack hashes one chunk while the next is read.
func readBack(ctx context.Context, d io.ReaderAt, image firmware.Blob, bufs *buffers, progress func(done int64)) error {
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
	err := r.readBack(ctx)
	if errors.Is(err, ErrCorrupt) {
		return r.heal(ctx)
	}
	if errors.Is(err, ErrIO) {
		return r.unwritten(err)
	}
	return err
}

func (r *run) readBack(ctx context.Context) error {
	total := r.head.ImageLength()
	return readBack(ctx, r.Target, r.Manifest.Image, r.images, func(done int64) { r.report(PhaseVerify, done, total) })
}

func (r *run) heal(ctx context.Context) error {
	wrong, err := r.wrongFrames(ctx)
	if errors.Is(err, ErrIO) {
		return r.unwritten(err)
	}
	if err != nil {
		return err
	}
	r.Log.Warn("frames read back wrong are fetched and written again", "slot", r.Slot, "frames", wrong)
	for _, i := range wrong {
		r.done[i] = false
	}
	r.res.Healed += len(wrong)
	if err := r.fill(ctx); err != nil {
		return r.settle(err)
	}
	return r.proveHealed(ctx)
}

// proveHealed is the last word: what is still wrong now, the slot does not keep.
func (r *run) proveHealed(ctx context.Context) error {
	err := r.readBack(ctx)
	if errors.Is(err, ErrIO) {
		return r.unwritten(err)
	}
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	wrong, lookErr := r.wrongFrames(ctx)
	switch {
	case errors.Is(lookErr, ErrIO):
		err = lookErr
	case lookErr != nil:
		return lookErr
	case len(wrong) > 0:
		f := r.head.Frame(wrong[0])
		err = fmt.Errorf("%w: frame %d, at byte %d of the slot, was written twice and reads back wrong; %d frames do: the medium is failing",
			ErrCorrupt, f.Index, f.At, len(wrong))
	default:
		err = fmt.Errorf("%w: every frame in the slot is right, and the image is not that of the manifest: the release contradicts itself", ErrCorrupt)
	}
	return r.unwritten(err)
}

// wrongFrames lists the frames that the slot holds wrong.
func (r *run) wrongFrames(ctx context.Context) ([]int, error) {
	buf := r.images.take()
	defer r.images.give(buf)
	var wrong []int
	for i := range r.head.Len() {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		right, err := r.holds(i, buf)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		if !right {
			wrong = append(wrong, i)
		}
	}
	return wrong, nil
}

// holds reads a frame from the slot and compares it.
func (r *run) holds(i int, buf []byte) (bool, error) {
	f := r.head.Frame(i)
	p := buf[:f.Length]
	if err := readSlot(r.Target, p, f.At); err != nil {
		return false, err
	}
	if f.Kind == firmware.FrameZero {
		return isZero(p), nil
	}
	return firmware.Sum(p) == f.ImageSHA256, nil
}
