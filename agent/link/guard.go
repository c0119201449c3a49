package link

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// maxPacket is the longest MQTT packet that is let in; the service is told so too, but the
// library would allocate whatever the peer announces, up to 256 MB.
const maxPacket = 128 << 10

// guard stands between the network and the MQTT library. Inward it lets pass only packets
// that a client of two QoS 1 subscriptions needs, none longer than maxPacket. Outward it
// sends each packet in one write, where the library makes three. The library locks it
// around every packet.
type guard struct {
	net.Conn
	timeout time.Duration // for one packet to leave

	in scanner

	mu     sync.Mutex
	out    bytes.Buffer
	failed error

	reason atomic.Pointer[error]
}

func newGuard(conn net.Conn, timeout time.Duration) *guard {
	return &guard{Conn: conn, timeout: timeout}
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.in.scan(p[:n]); bad != nil {
		g.Conn.Close()
		return 0, bad
	}
	return n, err
}

// end closes the connection for a reason.
func (g *guard) end(reason error) {
	g.reason.CompareAndSwap(nil, &reason)
	g.Conn.Close()
}

// why is the reason for which the connection was closed here, or else err.
func (g *guard) why(err error) error {
	if reason := g.reason.Load(); reason != nil {
		return *reason
	}
	return err
}

// Lock begins a packet.
func (g *guard) Lock() { g.mu.Lock() }

// Write adds to the packet that was begun.
func (g *guard) Write(p []byte) (int, error) {
	if g.failed != nil {
		return 0, g.failed
	}
	return g.out.Write(p)
}

// Unlock sends the packet. The library has no ear for an error here: the connection is
// closed, which it hears at once.
func (g *guard) Unlock() {
	defer g.mu.Unlock()
	if g.failed == nil && g.out.Len() > 0 {
		_ = g.Conn.SetWriteDeadline(time.Now().Add(g.timeout))
		if _, g.failed = g.Conn.Write(g.out.Bytes()); g.failed != nil {
			g.Conn.Close()
		}
	}
	g.out = bytes.Buffer{} // there is little to send, and much time between
}

// scanner follows the frames of MQTT packets (MQTT 5, section 2.1) through a stream.
type scanner struct {
	place  int // in the frame: 0 type, 1..4 length, -1 rest
	length int // announced so far, then bytes of the rest still to come
}

func (s *scanner) scan(b []byte) error {
	for len(b) > 0 {
		if s.place < 0 {
			n := min(len(b), s.length)
			b, s.length = b[n:], s.length-n
			if s.length == 0 {
				s.place = 0
			}
			continue
		}
		if err := s.header(b[0]); err != nil {
			return err
		}
		b = b[1:]
	}
	return nil
}

func (s *scanner) header(c byte) error {
	if s.place == 0 {
		s.place, s.length = 1, 0
		return checkType(c)
	}
	s.length |= int(c&0x7f) << (7 * (s.place - 1))
	if s.length > maxPacket {
		return fmt.Errorf("the broker announced an MQTT packet of more than %d bytes", maxPacket)
	}
	switch {
	case c&0x80 != 0 && s.place == 4:
		return fmt.Errorf("the broker sent a malformed MQTT packet length")
	case c&0x80 != 0:
		s.place++
	case s.length == 0:
		s.place = 0
	default:
		s.place = -1
	}
	return nil
}

func checkType(c byte) error {
	switch c >> 4 {
	case packets.CONNACK, packets.PUBACK, packets.SUBACK, packets.PINGRESP, packets.DISCONNECT:
		return nil
	case packets.PUBLISH:
		if qos := c >> 1 & 3; qos <= 1 {
			return nil
		}
	}
	return fmt.Errorf("the broker sent an MQTT packet of type 0x%02x, which this client never asks for", c)
}
