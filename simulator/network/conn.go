package network

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// What a client asks TLS for in its first message, which is not encrypted yet (RFC 7301).
const (
	protocolUnknown = iota
	protocolHTTP
	protocolMQTT
	protocolOther
)

// retransmission is what a lost turn costs.
const retransmission = 250 * time.Millisecond

// conn is a connection over a line.
type conn struct {
	net.Conn
	line     *Line
	protocol atomic.Int32
	asked    atomic.Int64 // when the client wrote last, if nothing has come since; Unix nanoseconds
	greeting atomic.Bool  // the next answer is to the first message
	gone     atomic.Bool
	clean    int64 // bytes received since a bit was turned over
}

// Read implements net.Conn. A line with a rate is read slowly, so that the kernel's window closes as it would.
func (c *conn) Read(p []byte) (int, error) {
	in, _ := c.line.limiters()
	if in != nil && len(p) > maxChunk {
		p = p[:maxChunk]
	}
	n, err := c.Conn.Read(p)
	if c.gone.Load() {
		return 0, ErrLost
	}
	if n > 0 && !c.greets() {
		if lost := c.turn(); lost != nil {
			return 0, lost
		}
		c.line.received.Add(int64(n))
		c.line.counters.Received.Add(int64(n))
		c.spoil(p[:n])
		spend(in, n)
	}
	return n, err
}

// greets reports, once, that what is said belongs to the greeting of a line that is apart: it takes no time and does not count, as it
// is chance whether a request makes a connection that it does not need in the end.
func (c *conn) greets() bool { return c.line.apart > 0 && c.greeting.CompareAndSwap(true, false) }

// turn is where an answer follows on a question: the line takes its time, or loses it.
func (c *conn) turn() error {
	asked := c.asked.Swap(0)
	if asked == 0 {
		return nil
	}
	class := c.line.Class()
	if c.line.isDown() {
		c.abort()
		return ErrLost
	}
	wait := class.Latency + c.line.apart - time.Since(time.Unix(0, asked))
	for n := 1; c.line.chance(class.Loss, n); n++ {
		if c.line.chance(0.1, -n) {
			c.abort()
			return ErrLost
		}
		wait = max(wait, 0) + retransmission
	}
	if wait > 0 {
		time.Sleep(wait)
	}
	return nil
}

// spoil turns a bit over now and then.
func (c *conn) spoil(p []byte) {
	every := c.line.Class().Corrupt
	if every == 0 {
		return
	}
	if c.clean += int64(len(p)); c.clean >= every {
		p[len(p)/2] ^= 1
		c.clean = 0
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if c.gone.Load() {
		return 0, ErrLost
	}
	if c.protocol.Load() == protocolUnknown {
		c.recognise(p)
	}
	if c.protocol.Load() == protocolHTTP && c.line.blocked() || c.line.isDown() {
		c.abort()
		return 0, ErrLost
	}
	_, out := c.line.limiters()
	spend(out, len(p))
	n, err := c.Conn.Write(p)
	c.asked.Store(time.Now().UnixNano())
	c.line.counters.Sent.Add(int64(n))
	return n, err
}

// recognise reads the ClientHello, which may follow on the greeting of a proxy.
func (c *conn) recognise(p []byte) {
	const handshake = 0x16
	if len(p) == 0 || p[0] != handshake {
		return
	}
	c.greeting.Store(true)
	switch {
	case bytes.Contains(p, []byte("\x08http/1.1")):
		c.protocol.Store(protocolHTTP)
		c.line.counters.HTTP.Add(1)
	case bytes.Contains(p, []byte("\x04mqtt")):
		c.protocol.Store(protocolMQTT)
		c.line.counters.MQTT.Add(1)
	default:
		c.protocol.Store(protocolOther)
		c.line.counters.Other.Add(1)
	}
}

func spend(l *rate.Limiter, n int) {
	for n > 0 && l != nil {
		part := min(n, maxChunk)
		_ = l.WaitN(context.Background(), part)
		n -= part
	}
}

// abort ends the connection for both sides.
func (c *conn) abort() {
	c.gone.Store(true)
	switch raw := c.Conn.(type) { // a reset: nobody has said good-bye
	case *net.TCPConn:
		_ = raw.SetLinger(0)
	case *pipeEnd:
		raw.reset()
	}
	c.Close()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.line.closed(c)
	return c.Conn.Close()
}
