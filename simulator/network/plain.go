package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A plain connection has no TLS: each side believes what the other says. The client speaks first, in one message that begins as a
// ClientHello does, so that a line can recognise it:
//
//	0x16, length of what follows (16 bits, big endian), length of the protocol (8 bits), protocol, client certificate (DER; may be empty)
//
// and the server answers with one byte, plainYes.
const (
	plainHello    = 0x16
	plainYes      = 0x17
	maxPlainHello = 16 << 10
)

// plainTimeout is for the other side's word.
const plainTimeout = 20 * time.Second

// plainConn is either side of a plain connection. It has the methods of *tls.Conn that matter.
type plainConn struct {
	net.Conn
	config *tls.Config   // of a client; nil for a server
	certs  *certificates // of a server
	state  tls.ConnectionState
	done   bool
}

// Secured is what [Exchange.Secure] makes.
type Secured interface {
	net.Conn
	HandshakeContext(context.Context) error
	ConnectionState() tls.ConnectionState
}

// Secure is how clients make connections secure: nil for TLS.
func (x *Exchange) Secure() func(net.Conn, *tls.Config) Secured {
	if x == nil || !x.plain {
		return nil
	}
	return func(c net.Conn, cfg *tls.Config) Secured { return &plainConn{Conn: c, config: cfg} }
}

// ConnectionState is who is at the other end, as it says.
func (c *plainConn) ConnectionState() tls.ConnectionState { return c.state }

// HandshakeContext is the exchange of the two messages.
func (c *plainConn) HandshakeContext(ctx context.Context) error {
	if c.done {
		return nil
	}
	until, limited := ctx.Deadline()
	if !limited {
		until = time.Now().Add(plainTimeout)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.SetDeadline(until)
	switch {
	case err != nil:
	case c.config != nil:
		err = c.greet()
	default:
		err = c.welcome()
	}
	if err != nil {
		return fmt.Errorf("plain handshake: %w", err)
	}
	c.done = true
	return c.SetDeadline(time.Time{})
}

func (c *plainConn) greet() error {
	if len(c.config.NextProtos) == 0 {
		return errors.New("no protocol is offered")
	}
	protocol := c.config.NextProtos[0]
	body := append([]byte{byte(len(protocol))}, protocol...)
	if c.config.GetClientCertificate != nil {
		cert, err := c.config.GetClientCertificate(&tls.CertificateRequestInfo{})
		if err != nil {
			return err
		}
		if len(cert.Certificate) > 0 {
			body = append(body, cert.Certificate[0]...)
		}
	}
	hello := binary.BigEndian.AppendUint16([]byte{plainHello}, uint16(len(body)))
	if _, err := c.Write(append(hello, body...)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c.Conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != plainYes {
		return fmt.Errorf("the other side answers with 0x%02x: it is no simulated service", answer[0])
	}
	c.state = tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, NegotiatedProtocol: protocol, ServerName: c.config.ServerName}
	return nil
}

func (c *plainConn) welcome() error {
	var head [3]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint16(head[1:])
	if head[0] != plainHello || length == 0 || length > maxPlainHello {
		return errors.New("no greeting of a simulated unit")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.Conn, body); err != nil {
		return err
	}
	state, err := readHello(body, time.Now(), c.certs)
	if err != nil {
		return err
	}
	c.state = state
	_, err = c.Write([]byte{plainYes})
	return err
}

// readHello reads what follows on the length. A certificate is believed, but not beyond its time.
func readHello(body []byte, now time.Time, certs *certificates) (tls.ConnectionState, error) {
	state := tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13}
	n := int(body[0])
	if n == 0 || len(body) < 1+n {
		return state, errors.New("a greeting that breaks off")
	}
	state.NegotiatedProtocol = string(body[1 : 1+n])
	if der := body[1+n:]; len(der) > 0 {
		cert, err := certs.parse(der)
		if err != nil {
			return state, err
		}
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return state, fmt.Errorf("the certificate of %s is not valid now", cert.Subject)
		}
		state.PeerCertificates, state.VerifiedChains = []*x509.Certificate{cert}, [][]*x509.Certificate{{cert}}
	}
	return state, nil
}

// certificates are those that were shown: a unit shows the same one with each of its connections, and reading one takes longer than all
// else of the handshake.
type certificates struct {
	mu    sync.Mutex
	known map[string]*x509.Certificate // by DER
}

// mostCertificates are kept, some 3 KiB each; when there would be more, all are forgotten.
const mostCertificates = 50_000

func (c *certificates) parse(der []byte) (*x509.Certificate, error) {
	c.mu.Lock()
	known := c.known[string(der)]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostCertificates {
		c.known = map[string]*x509.Certificate{}
	}
	c.known[string(der)] = cert
	return cert, nil
}
