package install

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// request is a part of a file, on its way.
type request struct {
	at, to int64        // what was not taken of it yet
	came   atomic.Int64 // up to where it came from the source
	broken bool         // it has to be made again for what was not taken
	cut    bool         // more was asked for than is wanted

	cancel context.CancelFunc
	turn   chan struct{} // closed when it is taken from
	taken  bool          // that is so
	ready  chan struct{} // closed when what follows is there
	body   io.ReadCloser
	early  []byte // what came before its turn, from at on
	err    error
}

// open asks for a part of a file. As many bytes as early says are read before it is its turn, so that the connection finds
// its pace meanwhile.
func (r *run) open(ctx context.Context, name string, from, to, early int64) *request {
	ctx, cancel := context.WithCancel(ctx)
	q := &request{at: from, to: to, cancel: cancel, turn: make(chan struct{}), ready: make(chan struct{})}
	q.came.Store(from)
	go func() {
		defer close(q.ready)
		start := time.Now()
		if q.body, q.err = r.Source.Open(ctx, name, from, to-from); q.err != nil {
			return
		}
		r.line.answered(time.Since(start))
		q.readEarly(ctx, r, min(early, to-from))
	}()
	return q
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
	if q.at < q.to || q.cut {
		q.cancel()
	}
	<-q.ready
	if q.body != nil {
		_ = q.body.Close()
	}
	q.cancel()
}

// read is io.Reader. The end of the request's context makes it return soon.
func (q *request) read(ctx context.Context, r *run, p []byte) (int, error) {
	if !q.taken {
		q.taken = true
		close(q.turn)
	}
	<-q.ready
	n, err := copy(p, q.early), q.err
	if q.early = q.early[n:]; n == 0 && err == nil {
		n, err = q.pull(ctx, r, p)
	}
	if q.at += int64(n); n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// pull is one read from the source, of at most what the throttle allows.
func (q *request) pull(ctx context.Context, r *run, p []byte) (int, error) {
	most, err := r.Throttle.ask(ctx)
	if err != nil {
		return 0, err
	}
	r.line.reading()
	n, err := q.body.Read(p[:min(int64(len(p)), int64(most), q.to-q.came.Load())])
	r.line.came(n)
	r.Throttle.spent(n)
	r.came(n)
	if q.came.Add(int64(n)); n > 0 {
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
