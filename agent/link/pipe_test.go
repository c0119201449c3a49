package link

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pipe is a connection in memory which, as a socket does and net.Pipe does not, takes some
// bytes before they are read. It works within synctest.
func pipe() (a, b net.Conn) {
	there, back := newHalf(), newHalf()
	return &end{there, back}, &end{back, there}
}

// half is one direction.
type half struct {
	mu            sync.Mutex
	cond          *sync.Cond
	buf           bytes.Buffer
	noMore        bool // the writer has closed
	unread        bool // the reader has closed: what is written is lost, as in a socket
	reader, write deadline
}

type deadline struct {
	timer *time.Timer
	over  bool
}

func newHalf() *half {
	h := &half{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *half) close(end *bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*end = true
	h.cond.Broadcast()
}

func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.over = nil, false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 { // a timer that is due at once does not survive the race detector in a bubble of Go 1.26
		d.over = true
		h.cond.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.timer == timer {
			d.over = true
			h.cond.Broadcast()
		}
	})
	d.timer = timer
}

// end is a net.Conn.
type end struct{ in, out *half }

func (e *end) Read(p []byte) (int, error) {
	h := e.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.buf.Len() == 0 && !h.noMore && !h.unread && !h.reader.over {
		h.cond.Wait()
	}
	switch {
	case h.unread:
		return 0, io.ErrClosedPipe
	case h.reader.over:
		return 0, os.ErrDeadlineExceeded
	case h.buf.Len() == 0:
		return 0, io.EOF
	}
	defer h.cond.Broadcast()
	return h.buf.Read(p)
}

func (e *end) Write(p []byte) (int, error) {
	h := e.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.buf.Len() > 64<<10 && !h.noMore && !h.unread && !h.write.over {
		h.cond.Wait()
	}
	switch {
	case h.noMore:
		return 0, io.ErrClosedPipe
	case h.unread:
		return len(p), nil
	case h.write.over:
		return 0, os.ErrDeadlineExceeded
	}
	defer h.cond.Broadcast()
	return h.buf.Write(p)
}

func (e *end) Close() error {
	e.in.close(&e.in.unread)
	e.out.close(&e.out.noMore)
	return e.SetDeadline(time.Time{})
}

func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}
func (e *end) SetReadDeadline(t time.Time) error  { e.in.set(&e.in.reader, t); return nil }
func (e *end) SetWriteDeadline(t time.Time) error { e.out.set(&e.out.write, t); return nil }
func (e *end) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (e *end) RemoteAddr() net.Addr               { return &net.TCPAddr{} }

// blackHole dials connections that can fall silent: what is written vanishes, and nothing
// comes any more.
type blackHole struct {
	dial func(context.Context, string, string) (net.Conn, error)
	mu   sync.Mutex
	made []*holeConn
}

func (b *blackHole) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.dial(ctx, network, address)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made = append(b.made, &holeConn{Conn: conn, closed: make(chan struct{})})
	return b.made[len(b.made)-1], err
}

func (b *blackHole) swallow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.made {
		c.gone.Store(true)
	}
}

type holeConn struct {
	net.Conn
	gone   atomic.Bool
	once   sync.Once
	closed chan struct{}
}

// Read gives nothing of what comes after the silence began, not even the end.
func (c *holeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.gone.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *holeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *holeConn) Write(p []byte) (int, error) {
	if c.gone.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
