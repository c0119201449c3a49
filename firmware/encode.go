package firmware

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
)

// EncodeOptions are the choices of whoever makes an artifact.
type EncodeOptions struct {
	// FrameSize is a power of two from MinFrameSize to MaxFrameSize, in bytes.
	// 0 means DefaultFrameSize, by which every image has no more than MaxFrames.
	// Larger frames make a smaller artifact; a device has two or three of them
	// in memory.
	FrameSize int
	// Workers compress at the same time, each in about 70 MiB. 0 means
	// GOMAXPROCS. They make no difference to the artifact.
	Workers int
	// Coder makes a coder for each worker, other than the Compressor. What it
	// makes is decoded and compared before it goes into the artifact.
	Coder func() (Coder, error)
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
		workers: max(1, min(workers, frameCount(size, frameSize))), coder: o.Coder, progress: o.Progress,
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
		n = DefaultFrameSize
	}
	if !validFrameSize(n) {
		return 0, fmt.Errorf("encode image: frame size %d is not a power of two from %d to %d", n, MinFrameSize, MaxFrameSize)
	}
	if frameCount(size, n) > MaxFrames {
		return 0, fmt.Errorf("encode image: %d bytes need more than %d frames of %d; choose a larger frame size", size, MaxFrames, n)
	}
	return n, nil
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
