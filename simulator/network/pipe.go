package network

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much a pipe takes in one direction before it is read, in bytes.
const window = 64 << 10

// small is the most that a pipe keeps in memory of its own, in bytes; what is more lies in a buffer that pipes share in turns.
const small = 2 << 10

var buffers = sync.Pool{New: func() any { return new([window]byte) }}

// half is one direction of a pipe.
type half struct {
	mu     sync.Mutex
	cond   sync.Cond
	data   []byte        // written and not read
	shared *[window]byte // where data lies, if it is not small
	end    error         // what a reader finds behind the data; nil while the writer is there
	gone   error         // what a writer finds; nil while the reader is there
	read   deadline
	write  deadline
}

// deadline is that of one side of a half.
type deadline struct {
	timer *time.Timer
	over  bool
}

func newHalf() *half {
	h := &half{}
	h.cond.L = &h.mu
	return h
}

func (h *half) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.data) == 0 && h.end == nil && !h.read.over {
		h.cond.Wait()
	}
	switch {
	case h.read.over:
		return 0, os.ErrDeadlineExceeded
	case len(h.data) == 0:
		return 0, h.end
	}
	n := copy(p, h.data)
	if h.data = h.data[n:]; len(h.data) == 0 {
		h.drop()
	}
	h.cond.Broadcast()
	return n, nil
}

// drop forgets the data, with the lock held.
func (h *half) drop() {
	h.data = nil
	if h.shared != nil {
		buffers.Put(h.shared)
		h.shared = nil
	}
}

func (h *half) Write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone != nil:
			return n, h.gone
		case h.write.over:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		part := p[:min(len(p), window-len(h.data))]
		if len(part) == 0 {
			h.cond.Wait()
			continue
		}
		h.take(part)
		n, p = n+len(part), p[len(part):]
		h.cond.Broadcast()
	}
}

// take puts bytes behind the data, for which there is room in the window.
func (h *half) take(part []byte) {
	if need := len(h.data) + len(part); h.shared == nil && need > small {
		h.shared = buffers.Get().(*[window]byte)
		h.data = h.shared[:copy(h.shared[:], h.data)]
	}
	if h.shared != nil && len(part) > cap(h.data)-len(h.data) {
		h.data = h.shared[:copy(h.shared[:], h.data)]
	}
	h.data = append(h.data, part...)
}

// over ends the half for both sides. What was written may still be read if end is io.EOF.
func (h *half) over(end, gone error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		h.end = end
	}
	if h.gone == nil {
		h.gone = gone
	}
	if end != io.EOF {
		h.drop()
	}
	h.cond.Broadcast()
}

// set changes a deadline of the half.
func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.over = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
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

// pipeEnd is one end of a pipe, a net.Conn.
type pipeEnd struct {
	in, out       *half
	local, remote net.Addr
	closed        func() // is told once; nil for nobody
	once          sync.Once
}

// pipe makes a connection within the process. As a socket does and net.Pipe does not, it takes some bytes before they are read.
func pipe(client, server net.Addr) (c, s *pipeEnd) {
	up, down := newHalf(), newHalf()
	return &pipeEnd{in: down, out: up, local: client, remote: server}, &pipeEnd{in: up, out: down, local: server, remote: client}
}

// Read implements net.Conn.
func (e *pipeEnd) Read(p []byte) (int, error) { return e.in.Read(p) }

// Write implements net.Conn.
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.Write(p) }

// Close implements net.Conn: the other side reads what is there, and then the end.
func (e *pipeEnd) Close() error { return e.finish(io.EOF) }

// reset ends the connection without a word, as a process does that is killed.
func (e *pipeEnd) reset() { _ = e.finish(syscall.ECONNRESET) }

func (e *pipeEnd) finish(end error) error {
	e.once.Do(func() {
		e.out.over(end, net.ErrClosed)
		e.in.over(net.ErrClosed, syscall.EPIPE)
		_ = e.SetDeadline(time.Time{})
		if e.closed != nil {
			e.closed()
		}
	})
	return nil
}

// LocalAddr implements net.Conn.
func (e *pipeEnd) LocalAddr() net.Addr { return e.local }

// RemoteAddr implements net.Conn.
func (e *pipeEnd) RemoteAddr() net.Addr { return e.remote }

// SetDeadline implements net.Conn.
func (e *pipeEnd) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.set(&e.in.read, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.set(&e.out.write, t)
	return nil
}
