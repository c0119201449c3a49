package firmware

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// EncodeOptions are the choices of whoever makes an artifact.
type EncodeOptions struct {
	// FrameSize is a power of two from MinFrameSize to MaxFrameSize, in bytes.
	// 0 means DefaultFrameSize, or the least larger one by which the image has
	// no more than MaxFrames.
	FrameSize int
	// Workers compress at the same time, each in about 40 MiB. 0 means
	// GOMAXPROCS. They make no difference to the artifact.
	Workers int
	// Progress, if set, is called with the bytes of the image that are done,
	// from one goroutine at a time.
	Progress func(done, total int64)
}

// Encoded says what an encoder made, in the words of a manifest.
type Encoded struct {
	Artifact           Framed
	Image              Blob
	Frames, ZeroFrames int
}

// Encode writes the artifact of an image of size bytes to w. The stored frames
// go through spool, empty and set to its start, because the index that stands
// before them is known only after them. It stops early when ctx ends.
func Encode(ctx context.Context, w io.Writer, image io.ReaderAt, size int64, spool io.ReadWriteSeeker, o EncodeOptions) (Encoded, error) {
	allData := func(offset int64) int64 { return offset }
	return encode(ctx, w, image, size, allData, spool, o)
}

// encode is Encode with a function that finds the first offset, not below the
// given one, where the image may hold something else than zeros.
func encode(ctx context.Context, w io.Writer, image io.ReaderAt, size int64, nextData func(int64) int64,
	spool io.ReadWriteSeeker, o EncodeOptions) (Encoded, error) {
	frameSize, err := o.frameSizeFor(size)
	if err != nil {
		return Encoded{}, err
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &pipeline{
		image: image, size: size, nextData: nextData, frameSize: frameSize,
		workers: max(1, min(workers, frameCount(size, frameSize))), progress: o.Progress,
		head: newHead(frameSize, size), sum: sha256.New(), zeros: make([]byte, frameSize), spool: spool,
	}
	if err := p.run(ctx); err != nil {
		return Encoded{}, fmt.Errorf("encode image: %w", err)
	}
	return p.finish(ctx, w)
}

func (o EncodeOptions) frameSizeFor(size int64) (int, error) {
	if size < 0 || size > MaxImage {
		return 0, fmt.Errorf("encode image: %d bytes, at most %d are possible", size, int64(MaxImage))
	}
	n := o.FrameSize
	if n == 0 {
		for n = DefaultFrameSize; frameCount(size, n) > MaxFrames; n *= 2 {
		}
	}
	if !validFrameSize(n) {
		return 0, fmt.Errorf("encode image: frame size %d is not a power of two from %d to %d", n, MinFrameSize, MaxFrameSize)
	}
	if frameCount(size, n) > MaxFrames {
		return 0, fmt.Errorf("encode image: %d bytes need more than %d frames of %d; choose a larger frame size", size, MaxFrames, n)
	}
	return n, nil
}

// pipeline reads frames, compresses them in any order, and collects them in
// theirs. Its memory is that of the jobs on the way, whose number is fixed.
type pipeline struct {
	image     io.ReaderAt
	size      int64
	nextData  func(int64) int64
	frameSize int
	workers   int
	progress  func(done, total int64)

	head  *Head
	sum   hash.Hash // of the image, fed in order
	zeros []byte    // for sum
	spool io.ReadWriteSeeker
}

// job is one frame on its way.
type job struct {
	frame  Frame
	image  []byte // its bytes; empty for a hole
	stored []byte
	buffer []byte        // for stored, kept
	done   chan struct{} // receives once the frame is compressed
}

func (p *pipeline) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := 2*p.workers + 1
	free := make(chan *job, jobs)
	work := make(chan *job, jobs)
	ordered := make(chan *job, jobs)
	for range jobs {
		free <- &job{done: make(chan struct{}, 1)}
	}
	g.Go(func() error {
		defer close(work)
		defer close(ordered)
		return p.read(ctx, free, work, ordered)
	})
	for range p.workers {
		g.Go(func() error { return p.compress(ctx, work) })
	}
	g.Go(func() error { return p.collect(ctx, ordered, free) })
	return g.Wait()
}

// read fills free jobs with the frames of the image, in order. There is room
// for all jobs in both channels, so that only the wait for a free one blocks.
func (p *pipeline) read(ctx context.Context, free <-chan *job, work, ordered chan<- *job) error {
	data := int64(-1) // the last offset that nextData told
	for i := range frameCount(p.size, p.frameSize) {
		var j *job
		select {
		case <-ctx.Done():
			return ctx.Err()
		case j = <-free:
		}
		at := int64(i) * int64(p.frameSize)
		length := frameLength(i, p.size, p.frameSize)
		if data < at {
			data = p.nextData(at)
		}
		ordered <- j
		if j.image = j.image[:0]; data >= at+length {
			j.setZero()
			continue
		}
		if err := j.fill(p.image, at, length, p.frameSize); err != nil {
			return err
		}
		work <- j
	}
	return nil
}

func (j *job) setZero() {
	j.frame, j.stored = Frame{Kind: FrameZero}, nil
	j.done <- struct{}{}
}

func (j *job) fill(image io.ReaderAt, at, length int64, frameSize int) error {
	if cap(j.image) == 0 {
		j.image = make([]byte, frameSize)
	}
	j.image = j.image[:length]
	n, err := image.ReadAt(j.image, at)
	if int64(n) == length {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", length, at, err)
}

func (p *pipeline) compress(ctx context.Context, work <-chan *job) error {
	z, err := newCompressor(p.frameSize)
	if err != nil {
		return err
	}
	for j := range work {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if isZero(j.image) {
			j.setZero()
			continue
		}
		j.compress(z)
		j.done <- struct{}{}
	}
	return nil
}

// newCompressor is set so that its output depends on its input alone.
func newCompressor(frameSize int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(frameSize),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(false))
}

func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

func (j *job) compress(z *zstd.Encoder) {
	sum := Sum(j.image)
	j.buffer = z.EncodeAll(j.image, j.buffer[:0])
	if len(j.buffer) < len(j.image) {
		j.stored = j.buffer
		j.frame = Frame{Kind: FrameZstd, StoredSHA256: Sum(j.stored), ImageSHA256: sum}
	} else {
		j.stored = j.image
		j.frame = Frame{Kind: FrameRaw, StoredSHA256: sum, ImageSHA256: sum}
	}
	j.frame.Stored = int64(len(j.stored))
}

// collect takes the frames in order, as they are done.
func (p *pipeline) collect(ctx context.Context, ordered <-chan *job, free chan<- *job) error {
	for j := range ordered {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
		}
		p.head.add(j.frame)
		f := p.head.frames[p.head.Len()-1]
		if f.Kind == FrameZero {
			p.sum.Write(p.zeros[:f.Length])
		} else {
			p.sum.Write(j.image)
		}
		if _, err := p.spool.Write(j.stored); err != nil {
			return fmt.Errorf("write spool: %w", err)
		}
		if p.progress != nil {
			p.progress(f.At+f.Length, p.size)
		}
		free <- j
	}
	return ctx.Err()
}

// finish writes the head and then the spool to w.
func (p *pipeline) finish(ctx context.Context, w io.Writer) (Encoded, error) {
	p.head.layOut()
	head := p.head.Encode()
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := out.Write(head); err != nil {
		return Encoded{}, fmt.Errorf("write artifact: %w", err)
	}
	if _, err := p.spool.Seek(0, io.SeekStart); err != nil {
		return Encoded{}, fmt.Errorf("rewind spool: %w", err)
	}
	if err := copyStored(ctx, out, p.spool, p.head.artifactLength-p.head.headLength); err != nil {
		return Encoded{}, fmt.Errorf("write artifact: %w", err)
	}
	e := Encoded{Frames: p.head.Len()}
	e.Image = Blob{Length: p.size, SHA256: Digest(p.sum.Sum(nil))}
	e.Artifact.Blob = Blob{Length: p.head.artifactLength, SHA256: Digest(sum.Sum(nil))}
	e.Artifact.Head = Blob{Length: int64(len(head)), SHA256: Sum(head)}
	for _, f := range p.head.frames {
		if f.Kind == FrameZero {
			e.ZeroFrames++
		}
	}
	return e, nil
}

// copyStored copies n bytes, and stops between two pieces when ctx ends.
func copyStored(ctx context.Context, w io.Writer, r io.Reader, n int64) error {
	piece := make([]byte, min(n, 1<<20))
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece = piece[:min(n, int64(len(piece)))]
		if _, err := io.ReadFull(r, piece); err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}
