package client

import (
	"context"
	"errors"
	"io"
	"time"
)

var errTooSlow = errors.New("the transfer is too slow")

// watchedBody is a response body that must come at a least rate. Only time
// spent waiting in Read counts: a reader that pauses is not the server's fault.
type watchedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	window time.Duration
	least  int64 // bytes per window

	stall  *time.Timer // nil before the first read
	waited time.Duration
	got    int64
}

func (b *watchedBody) Read(p []byte) (int, error) {
	start := time.Now()
	if b.stall == nil {
		b.stall = time.AfterFunc(b.window, func() { b.cancel(errTooSlow) })
	} else {
		b.stall.Reset(b.window)
	}
	n, err := b.body.Read(p)
	b.stall.Stop()
	b.waited += time.Since(start)
	b.got += int64(n)
	if err != nil {
		return n, b.explain(err)
	}
	if b.waited >= b.window {
		if b.got < b.least {
			return n, failf(ErrUnavailable, "", "%w: %d bytes in %s", errTooSlow, b.got, b.waited.Round(time.Second))
		}
		b.waited, b.got = 0, 0
	}
	return n, nil
}

// explain keeps io.EOF, and names the reason where we ended the transfer.
func (b *watchedBody) explain(err error) error {
	if err == io.EOF {
		return err
	}
	if cause := context.Cause(b.ctx); cause != nil {
		err = cause
	}
	return failf(ErrUnavailable, "", "read the response: %w", err)
}

func (b *watchedBody) Close() error {
	b.cancel(nil)
	return b.body.Close()
}
