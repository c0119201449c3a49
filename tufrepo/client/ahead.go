package client

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Bounds of what is asked for ahead.
const (
	// maxAhead is how many requests may be under way that nobody has taken. By HTTP/1.1 each takes a connection, and a
	// fleet that is told of an update at once brings all its connections to one service.
	maxAhead = 2
	// maxAsked is how many parts are held that nobody has taken, the whole ones included.
	maxAsked = 4
	// aheadRoom is how many bytes of each are read before it is taken; the rest waits in the socket. So all that is held
	// is at most 1 MiB.
	aheadRoom = 256 << 10
)

// AheadSource is a Source that can be asked for parts of files before it is known that they are wanted. See "Ahead" in the
// package documentation.
type AheadSource interface {
	Source
	// Ahead asks for what an Open of the same part may want later. It returns at once, asks for nothing if too much is
	// under way, and tells nobody when it fails. What was not taken when ctx ends is dropped. came, unless nil, is for
	// parts of 256 KiB at most: it is called with all of the part, which it may not change, and says whether that is what
	// was expected. Else it is dropped, and Open asks anew.
	Ahead(ctx context.Context, name string, offset, length int64, came func([]byte) bool)
}

// part is what one Open asks for.
type part struct {
	name           string
	offset, length int64
}

// ahead is what was asked for and not taken.
type ahead struct {
	mu      sync.Mutex
	asked   map[part]*early
	pending int // requests of those that hold a connection
}

var errUnexpected = errors.New("it is not what was expected")

// early is one part on its way.
type early struct {
	cancel context.CancelCauseFunc
	undrop func() bool   // keeps it when the asker's context ends
	taken  chan struct{} // closed when somebody wants it
	ready  chan struct{} // closed when nothing more is read ahead; what follows is there then
	body   io.ReadCloser
	data   []byte
	err    error // of the request, or of reading; io.EOF when data is all
}

// ask begins a request by open, unless the same one is under way, or too many are.
func (a *ahead) ask(ctx context.Context, p part, open func(context.Context) (io.ReadCloser, error), came func([]byte) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked[p] != nil || a.pending >= maxAhead || len(a.asked) >= maxAsked || ctx.Err() != nil {
		return
	}
	if a.asked == nil {
		a.asked = map[part]*early{}
	}
	within, cancel := context.WithCancelCause(ctx)
	e := &early{cancel: cancel, taken: make(chan struct{}), ready: make(chan struct{})}
	a.asked[p] = e
	a.pending++
	go func() {
		defer close(e.ready)
		e.fetch(func() (io.ReadCloser, error) { return open(within) }, came == nil)
		if came != nil && e.err == nil {
			e.err = errUnexpected // it is too long
			_ = e.body.Close()
		}
		if e.err != nil {
			a.rest() // before came asks for more
		}
		if came != nil && e.err == io.EOF && !came(e.data) {
			e.err = errUnexpected
		}
	}()
	e.undrop = context.AfterFunc(ctx, func() { a.drop(p, e) })
}

// fetch reads until there is no more room, or, if it may be handed over in part, until somebody wants it.
func (e *early) fetch(open func() (io.ReadCloser, error), inPart bool) {
	if e.body, e.err = open(); e.err != nil {
		return
	}
	room := make([]byte, 4<<10)
	for e.err == nil && len(e.data) < aheadRoom {
		if inPart && isClosed(e.taken) {
			return
		}
		var n int
		n, e.err = e.body.Read(room[:min(len(room), aheadRoom-len(e.data))])
		e.data = append(e.data, room[:n]...)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// rest notes that a request holds its connection no longer.
func (a *ahead) rest() {
	a.mu.Lock()
	a.pending--
	a.mu.Unlock()
}

// forget makes e nobody's, if it is not somebody's already.
func (a *ahead) forget(p part, e *early) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked[p] != e {
		return false
	}
	delete(a.asked, p)
	close(e.taken)
	e.undrop()
	return true
}

// drop ends what nobody has taken.
func (a *ahead) drop(p part, e *early) {
	if a.forget(p, e) {
		<-e.ready // soon, for the context has ended
		a.release(e)
	}
}

func (a *ahead) release(e *early) {
	e.cancel(nil)
	if e.body != nil {
		_ = e.body.Close()
	}
	if e.err == nil {
		a.rest()
	}
}

// take hands over what was asked for ahead. It is not there if it was not asked for, or if that came to nothing: then it
// is to be asked for as ever, unless the server wants to be left alone.
func (a *ahead) take(ctx context.Context, p part) (r io.ReadCloser, err error, there bool) {
	a.mu.Lock()
	e := a.asked[p]
	a.mu.Unlock()
	if e == nil || !a.forget(p, e) {
		return nil, nil, false
	}
	stop := context.AfterFunc(ctx, func() { e.cancel(context.Cause(ctx)) })
	<-e.ready
	if e.err == nil || e.err == io.EOF {
		return &aheadBody{a: a, e: e, stop: stop}, nil, true
	}
	stop()
	a.release(e)
	if errors.As(e.err, new(*RetryError)) {
		return nil, e.err, true
	}
	return nil, nil, false
}

// aheadBody reads what came ahead, then what follows it.
type aheadBody struct {
	a    *ahead
	e    *early
	stop func() bool
	once sync.Once
}

func (b *aheadBody) Read(p []byte) (int, error) {
	if len(b.e.data) > 0 {
		n := copy(p, b.e.data)
		b.e.data = b.e.data[n:]
		return n, nil
	}
	b.e.data = nil
	if b.e.err != nil {
		return 0, b.e.err
	}
	return b.e.body.Read(p)
}

func (b *aheadBody) Close() error {
	b.once.Do(func() {
		b.stop()
		b.a.release(b.e)
	})
	return nil
}
