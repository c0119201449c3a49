package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware"
)

// DefaultFrameSize is the frame size of patches in bytes.
const DefaultFrameSize = 2 << 20

// Options are the choices of whoever makes a patch.
type Options struct {
	// FrameSize is a power of two, in bytes, within the limits of package firmware. 0 means DefaultFrameSize, or the least
	// larger one by which the image has no more than firmware.MaxFrames. A device needs about twice as much memory.
	FrameSize int
	// Workers work at the same time; 0 means GOMAXPROCS. They make no difference to the patch.
	Workers int
	// Progress, if set, is called with the bytes of the image that are done, from one goroutine at a time.
	Progress func(done, total int64)
}

// Created says what was made, in the words of a manifest.
type Created struct {
	Patch firmware.Patch
	Image firmware.Blob
	Kinds [4]int // frames of each kind
}

// Create writes to w the patch that makes image out of base. The stored frames go through spool, empty and set to its
// start, because the index that stands before them is known only after them. Both images are usually mapped files; beside
// them Create needs as much memory as the base has bytes, and some 20 MiB for each worker. It stops early when ctx ends.
//
// The same images with the same options and the same release of this package make the same patch.
func Create(ctx context.Context, w io.Writer, base, image []byte, spool io.ReadWriteSeeker, o Options) (Created, error) {
	m, err := newMaker(base, image, spool, o)
	if err != nil {
		return Created{}, err
	}
	if err := m.run(ctx); err != nil {
		return Created{}, fmt.Errorf("make patch: %w", err)
	}
	return m.finish(w)
}

// maker makes frames in any order, and collects them in theirs.
type maker struct {
	Options
	base, image []byte
	index       *index
	frames      []firmware.Frame
	imageSum    hash.Hash
	baseSum     firmware.Digest
	spool       io.ReadWriteSeeker
	done        int64
}

func newMaker(base, image []byte, spool io.ReadWriteSeeker, o Options) (*maker, error) {
	if len(base) == 0 {
		return nil, fmt.Errorf("make patch: the base is empty; publish the image without a patch from it")
	}
	if o.FrameSize == 0 {
		for o.FrameSize = DefaultFrameSize; len(image)/o.FrameSize >= firmware.MaxFrames; o.FrameSize *= 2 {
		}
	}
	// The head is checked when it is made; what makes no sense is refused before the long work.
	count := (len(image) + o.FrameSize - 1) / o.FrameSize
	if _, err := firmware.NewPatchHead(firmware.Blob{Length: 1}, o.FrameSize, int64(len(image)), make([]firmware.Frame, count)); err != nil {
		return nil, fmt.Errorf("make patch: %w", err)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &maker{Options: o, base: base, image: image, imageSum: sha256.New(), spool: spool}, nil
}

// made is a frame on its way.
type made struct {
	frame  firmware.Frame
	image  []byte
	stored []byte
	done   chan struct{}
}

func (m *maker) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	sum := make(chan struct{})
	g.Go(guard(func() error {
		defer close(sum)
		m.baseSum = firmware.Sum(m.base)
		return nil
	}))
	g.Go(guard(func() error {
		var err error
		if m.index, err = newIndex(ctx, m.base); err != nil {
			return err
		}
		defer m.index.close()
		return m.makeFrames(ctx)
	}))
	return g.Wait()
}

func (m *maker) makeFrames(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	work, ordered := make(chan *made), make(chan *made, 2*m.Workers)
	g.Go(func() error {
		defer close(work)
		defer close(ordered)
		for at := 0; at < len(m.image); at += m.FrameSize {
			j := &made{image: m.image[at:min(at+m.FrameSize, len(m.image))], done: make(chan struct{})}
			j.frame.At = int64(at)
			for _, to := range []chan<- *made{ordered, work} {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range m.Workers {
		g.Go(guard(func() error { return m.worker(work) }))
	}
	g.Go(guard(func() error { return m.collect(ctx, ordered) }))
	return g.Wait()
}

func (m *maker) worker(work <-chan *made) error {
	e, err := newEncoder(m.index, m.FrameSize)
	if err != nil {
		return err
	}
	defer e.close()
	for j := range work {
		j.frame, j.stored = e.encode(j.image, j.frame.At)
		close(j.done)
	}
	return nil
}

// encoder makes frames, one at a time.
type encoder struct {
	planner planner
	codec   *codec
	plain   *firmware.Compressor
	work    []byte
	out     []byte
}

func newEncoder(x *index, frameSize int) (*encoder, error) {
	plain, err := firmware.NewCompressor(frameSize)
	if err != nil {
		return nil, err
	}
	return &encoder{planner: planner{index: x}, codec: newCodec(), plain: plain, work: make([]byte, frameSize)}, nil
}

func (e *encoder) close() { e.plain.Close() }

// encode chooses the kind of a frame that takes the least.
func (e *encoder) encode(image []byte, at int64) (firmware.Frame, []byte) {
	if zeros(image) == len(image) {
		return firmware.Frame{Kind: firmware.FrameZero}, nil
	}
	sum := firmware.Sum(image)
	ops := e.planner.plan(image, at)
	e.out = e.codec.encode(e.out[:0], image, at, e.planner.base, ops, e.work[:len(image)])
	f := firmware.Frame{Kind: firmware.FrameDelta, ImageSHA256: sum}
	stored := e.out
	if fresh(ops) > len(image)/2 {
		// What is new altogether, and not noise, is decoded faster so.
		if z := e.plain.Compress(image); len(z) <= len(stored)+len(stored)/64 {
			f.Kind, stored = firmware.FrameZstd, z
		}
	}
	if len(stored) >= len(image) {
		return firmware.Frame{Kind: firmware.FrameRaw, Stored: int64(len(image)), StoredSHA256: sum, ImageSHA256: sum}, image
	}
	f.Stored, f.StoredSHA256 = int64(len(stored)), firmware.Sum(stored)
	return f, bytes.Clone(stored)
}

// fresh is how many bytes of a frame the base does not have, and which can be coded.
func fresh(ops []operation) int {
	n := 0
	for _, o := range ops {
		if o.kind == opFresh {
			n += o.length
		}
	}
	return n
}

// collect takes the frames in order, as they are done.
func (m *maker) collect(ctx context.Context, ordered <-chan *made) error {
	for j := range ordered {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
		}
		m.imageSum.Write(j.image)
		m.frames = append(m.frames, j.frame)
		if _, err := m.spool.Write(j.stored); err != nil {
			return fmt.Errorf("write spool: %w", err)
		}
		m.done += int64(len(j.image))
		if m.Progress != nil {
			m.Progress(m.done, int64(len(m.image)))
		}
	}
	return ctx.Err()
}

// finish writes the head and then the spool to w.
func (m *maker) finish(w io.Writer) (Created, error) {
	c := Created{Image: firmware.Blob{Length: int64(len(m.image)), SHA256: firmware.Digest(m.imageSum.Sum(nil))}}
	c.Patch.From = firmware.Blob{Length: int64(len(m.base)), SHA256: m.baseSum}
	head, err := firmware.NewPatchHead(c.Patch.From, m.FrameSize, c.Image.Length, m.frames)
	if err != nil {
		return Created{}, err
	}
	for _, f := range m.frames {
		c.Kinds[f.Kind]++
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	b := head.Encode()
	if _, err := out.Write(b); err != nil {
		return Created{}, fmt.Errorf("write patch: %w", err)
	}
	if _, err := m.spool.Seek(0, io.SeekStart); err != nil {
		return Created{}, fmt.Errorf("rewind spool: %w", err)
	}
	if _, err := io.CopyN(out, m.spool, head.ArtifactLength()-int64(len(b))); err != nil {
		return Created{}, fmt.Errorf("write patch: %w", err)
	}
	c.Patch.Framed = firmware.Framed{
		Blob: firmware.Blob{Length: head.ArtifactLength(), SHA256: firmware.Digest(sum.Sum(nil))},
		Head: firmware.Blob{Length: int64(len(b)), SHA256: firmware.Sum(b)},
	}
	return c, nil
}
