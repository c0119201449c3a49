package firmware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/sync/errgroup"
)

// pipeline reads frames, compresses them in any order, and collects them in
// theirs. Its memory is that of the jobs on the way, whose number is fixed.
type pipeline struct {
	image     io.ReaderAt
	size      int64
	nextData  func(int64) int64
	frameSize int
	workers   int
	coder     func() (Coder, error) // nil for the built-in one
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
	z, err := p.newCoder()
	if err != nil {
		return err
	}
	defer z.Close()
	for j := range work {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if isZero(j.image) {
			j.setZero()
			continue
		}
		if err := j.compress(ctx, z); err != nil {
			return err
		}
		j.done <- struct{}{}
	}
	return nil
}

func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

func (j *job) compress(ctx context.Context, z Coder) error {
	sum := Sum(j.image)
	out, err := z.Code(ctx, j.image)
	if err != nil {
		return err
	}
	if len(out) < len(j.image) {
		j.buffer = append(j.buffer[:0], out...)
		j.stored = j.buffer
		j.frame = Frame{Kind: FrameZstd, StoredSHA256: Sum(j.stored), ImageSHA256: sum}
	} else {
		j.stored = j.image
		j.frame = Frame{Kind: FrameRaw, StoredSHA256: sum, ImageSHA256: sum}
	}
	j.frame.Stored = int64(len(j.stored))
	return nil
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
