package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
)

// chunks are the parts of the image, of which the device has some, wherever.
type chunks struct {
	*chunk.Index
	finder *chunk.Finder
	base   io.ReaderAt
	slot   io.ReaderAt
	kept   ranges // of the slot: it holds the new image there
}

// inSlot marks places in the slot, as opposed to the base.
const inSlot = 1 << 50

// aheadFrames is more frames than are under way at once: what lies so far behind a frame in the slot is not written over
// before the frame is put together.
const aheadFrames = 16

// fillFound puts frames together of what lies anywhere in base and slot, and of chunks, where fewer bytes are fetched so than
// for the frame of the artifact, whose head c has. Whatever goes wrong with that is left to the artifact.
func (r *run) fillFound(ctx context.Context, c *carrier) error {
	m := r.Manifest.Chunks
	if m == nil || r.Base == nil || 2*m.Head.Length >= storedOf(c, r.todo(c)) {
		return nil
	}
	found := &carrier{what: "chunks", Framed: *m, head: c.head}
	err := r.loadChunks(ctx, found)
	if err == nil {
		r.keep(found)
		err = r.find(ctx, found.chunks)
	}
	if unusable(err) {
		r.Log.Warn("there are chunks, but they cannot be used: the artifact takes their place", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = r.pass(ctx, found, r.cheaper(found, c)); unusable(err) {
		r.Log.Warn("the chunks cannot be had any more: the artifact takes their place", "err", err)
		return nil
	}
	return err
}

// storedOf is how many bytes of c these frames take.
func storedOf(c *carrier, frames []int) (n int64) {
	for _, i := range frames {
		n += ranges(c.stored(c.head.Frame(i))).total()
	}
	return n
}

// loadChunks gets the index.
func (r *run) loadChunks(ctx context.Context, c *carrier) error {
	if err := r.loadRaw(ctx, c, false); err != nil {
		return err
	}
	if c.rest != nil { // it ends with the head
		c.close()
	}
	x, err := chunk.Parse(c.raw)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case x.ImageLength() != r.Manifest.Image.Length || x.FileLength() != c.Length || x.Size() > c.head.FrameSize():
		return fmt.Errorf("%w: the chunks of %d bytes are for an image of %d in a file of %d, the manifest says %d and %d", ErrCorrupt,
			x.Size(), x.ImageLength(), x.FileLength(), r.Manifest.Image.Length, c.Length)
	}
	c.chunks = &chunks{Index: x, finder: x.NewFinder(), base: r.Base, slot: r.Target, kept: r.done}
	return nil
}

// find reads base and slot, all workers at once. A place that cannot be read holds nothing. What a slot holds beyond its
// image is mostly of no use.
func (r *run) find(ctx context.Context, c *chunks) error {
	length := r.Manifest.Image.Length
	for _, where := range []struct {
		io.ReaderAt
		mark, end int64
	}{{c.base, 0, cmp.Or(r.BaseImage.Length, length+length/4)}, {c.slot, inSlot, length}} {
		g, ctx := errgroup.WithContext(ctx)
		end := where.end
		share := (end/int64(r.workers) + blockSize) &^ (blockSize - 1)
		for from := int64(0); from < end; from += share {
			g.Go(func() error {
				err := c.finder.Scan(ctx, where, from, min(from+share, end), func(at int64) int64 { return at + where.mark })
				if err != nil && ctx.Err() == nil {
					r.Log.Warn("look for what the device has", "err", err)
					err = nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// cheaper lists the frames that take fewer bytes out of chunks than out of the artifact.
func (r *run) cheaper(found, artifact *carrier) (frames []int) {
	ahead := int64(0)
	for _, i := range r.missing(artifact) {
		f := artifact.head.Frame(i)
		parts := ranges(found.stored(f))
		if cost := parts.total(); cost+partCost*int64(len(parts)) < f.Stored {
			frames = append(frames, i)
			ahead += cost
			continue
		}
		ahead += f.Stored
	}
	r.mu.Lock()
	r.ahead = r.fetched.Load() + ahead
	r.mu.Unlock()
	return frames
}

// of is the chunks of a frame, from first to before end.
func (c *chunks) of(f firmware.Frame) (first, end int) {
	size := int64(c.Size())
	return int(f.At / size), int((f.At + f.Length + size - 1) / size)
}

// place is where the device has a chunk of frame f; at counts if from is not nil.
func (c *chunks) place(f firmware.Frame, i int) (from io.ReaderAt, at int64) {
	at, ok := c.finder.Found(i)
	switch {
	case !ok:
		return nil, 0
	case at < inSlot:
		return c.base, at
	}
	at -= inSlot
	where := Extent{at, int64(c.Size())}
	own := at >= f.At && where.end() <= f.At+f.Length
	if own || at >= f.At+aheadFrames*f.Length || c.kept.covers(where) {
		return c.slot, at
	}
	return nil, 0
}

// missing is what is to be fetched for a frame.
func (c *chunks) missing(f firmware.Frame) (parts []Extent) {
	first, end := c.of(f)
	for i := first; i < end; i++ {
		one := c.Chunk(i)
		if from, _ := c.place(f, i); from != nil || one.Stored == 0 {
			continue
		}
		if last := len(parts) - 1; last >= 0 && parts[last].end() == one.Offset {
			parts[last].Length += one.Stored
			continue
		}
		parts = append(parts, Extent{one.Offset, one.Stored})
	}
	return parts
}

// fill puts a frame together. held is how many bytes the device had.
func (c *chunks) fill(d *firmware.Decoder, image []byte, f firmware.Frame, stored []byte) (held int64, err error) {
	first, end := c.of(f)
	for i := first; i < end; i++ {
		one := c.Chunk(i)
		dst := image[one.At-f.At:][:one.Length]
		from, at := c.place(f, i)
		switch {
		case one.Stored == 0:
			clear(dst)
		case from != nil:
			held += one.Length
			if n, err := from.ReadAt(dst, at); n < len(dst) {
				return 0, fmt.Errorf("reading what was found at %d: %w", at, errors.Join(err, io.ErrUnexpectedEOF))
			}
		default:
			if err := c.Expand(d, dst, i, stored[:one.Stored]); err != nil {
				return 0, err
			}
			stored = stored[one.Stored:]
		}
	}
	if firmware.Sum(image) != f.ImageSHA256 {
		return 0, fmt.Errorf("frame %d: put together of what was found it is another one", f.Index)
	}
	return held, nil
}

// assemble is frame for one that is put together. One that does not come out right is left to the artifact.
func (w *worker) assemble(c *carrier, p piece) error {
	image := w.image[:p.Length]
	held, err := c.chunks.fill(w.decoder.(*firmware.Decoder), image, p.Frame, p.stored)
	w.stored.give(p.stored)
	if err != nil {
		w.Log.Warn("what was found on the device does not make a frame", "frame", p.Index, "err", err)
		return nil
	}
	w.mu.Lock()
	w.res.Held += held
	w.mu.Unlock()
	return w.put(p.extent(), image)
}
