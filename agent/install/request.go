package install

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// request is some parts of a file, in their order, on their way.
type request struct {
	parts  []Extent     // what was not taken of it yet
	left   atomic.Int64 // bytes that did not come from the source yet
	broken bool         // it has to be made again for what was not taken
	cut    bool         // more was asked for than is wanted

	cancel context.CancelFunc
	turn   chan struct{} // closed when it is taken from
	taken  bool          // that is so
	ready  chan struct{} // closed when what follows is there
	body   io.ReadCloser
	early  []byte // what came before its turn
	err    error
}

// at is where the next byte lies that is to be taken, and to where the last one ends.
func (q *request) at() int64 { return q.parts[0].Offset }
func (q *request) to() int64 { return q.parts[len(q.parts)-1].end() }

// done says that all of it was taken.
func (q *request) done() bool { return len(q.parts) == 0 }

// open asks for parts of a file, of which there is more than one only if the source can that. As many bytes as early says are
// read before it is its turn, so that the connection finds its pace meanwhile.
func (r *run) open(ctx context.Context, name string, parts []Extent, early int64) *request {
	ctx, cancel := context.WithCancel(ctx)
	q := &request{parts: slices.Clone(parts), cancel: cancel, turn: make(chan struct{}), ready: make(chan struct{})}
	total := ranges(parts).total()
	q.left.Store(total)
	go func() {
		defer close(q.ready)
		start := time.Now()
		if q.body, q.err = r.openParts(ctx, name, parts); q.err != nil {
			return
		}
		r.line.answered(time.Since(start))
		q.readEarly(ctx, r, min(early, total))
	}()
	return q
}

func (r *run) openParts(ctx context.Context, name string, parts []Extent) (io.ReadCloser, error) {
	if len(parts) == 1 {
		return r.Source.Open(ctx, name, parts[0].Offset, parts[0].Length)
	}
	return r.many.OpenRanges(ctx, name, func(yield func(offset, length int64) bool) {
		for _, p := range parts {
			if !yield(p.Offset, p.Length) {
				return
			}
		}
	})
}

func (q *request) readEarly(ctx context.Context, r *run, most int64) {
	buf := make([]byte, most)
	for n := 0; n < len(buf) && q.err == nil; {
		select {
		case <-q.turn:
			return
		default:
		}
		var m int
		m, q.err = q.pull(ctx, r, buf[n:])
		n += m
		q.early = buf[:n]
	}
}

// close ends the request. One that was read to its end leaves a connection that can be used again.
func (q *request) close() {
	if !q.done() || q.cut {
		q.cancel()
	}
	<-q.ready
	if q.body != nil {
		_ = q.body.Close()
	}
	q.cancel()
}

// read takes bytes of the first part. The end of the request's context makes it return soon.
func (q *request) read(ctx context.Context, r *run, p []byte) (int, error) {
	if !q.taken {
		q.taken = true
		close(q.turn)
	}
	<-q.ready
	p = p[:min(int64(len(p)), q.parts[0].Length)]
	n, err := copy(p, q.early), q.err
	if q.early = q.early[n:]; n == 0 && err == nil {
		n, err = q.pull(ctx, r, p)
	}
	q.take(int64(n))
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// take notes that n bytes of the first part were taken.
func (q *request) take(n int64) {
	first := &q.parts[0]
	if first.Offset, first.Length = first.Offset+n, first.Length-n; first.Length == 0 {
		q.parts = q.parts[1:]
	}
}

// pull is one read from the source, of at most what the throttle allows.
func (q *request) pull(ctx context.Context, r *run, p []byte) (int, error) {
	most, err := r.Throttle.ask(ctx)
	if err != nil {
		return 0, err
	}
	r.line.reading()
	n, err := q.body.Read(p[:min(int64(len(p)), int64(most), q.left.Load())])
	r.line.came(n)
	r.Throttle.spent(n)
	r.came(n)
	if q.left.Add(-int64(n)); n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// readFull fills p from request q.
func (r *run) readFull(ctx context.Context, q *request, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = q.read(ctx, r, p[n:])
		n += m
	}
	return n, err
}
