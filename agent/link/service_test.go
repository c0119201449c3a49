package link

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventName is what the service stores an event under.
type eventName struct {
	epoch string
	seq   int64
}

// service is what a device talks to: one TLS port, a real broker behind ALPN and WebSocket,
// and the HTTPS requests. What it got is in the fields, under the lock of its scene.
type service struct {
	*scene
	t     testing.TB
	tls   *tls.Config
	http  *http.Server
	plain chan net.Conn // HTTPS connections for http
	quit  chan struct{}
	once  sync.Once

	broker  *mqtt.Server
	stopped bool // the broker is closing or closed
	conns   map[net.Conn]bool

	// What it does.
	noMQTT, noWebSocket, noHTTP bool
	direction, etag             string
	answer                      http.HandlerFunc // instead of the API when not nil
	denied                      byte             // CONNACK reason
	refuse                      func(wire.Event) bool

	// What it saw.
	accepted  []time.Time
	stored    map[eventName]wire.Event
	arrivals  int // of events
	reported  []wire.Reported
	presence  []wire.Presence
	progress  []wire.Progress
	replies   []wire.Reply
	wills     []mqtt.Will
	keepAlive []uint16
	clean     []bool      // Clean Start of each CONNECT
	connects  []time.Time // each CONNECT
	asked     []string    // If-None-Match of each GET
	askedAt   []time.Time
	posts     []time.Time
}

func newService(t testing.TB, ca *authority) *service {
	s := &service{scene: newScene(), t: t, plain: make(chan net.Conn), quit: make(chan struct{}), conns: map[net.Conn]bool{},
		stored: map[eventName]wire.Event{}}
	s.tls = &tls.Config{Certificates: []tls.Certificate{ca.server(t, someDay)}, ClientCAs: ca.pool(),
		ClientAuth: tls.VerifyClientCertIfGiven, NextProtos: []string{wire.ALPN, "http/1.1"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathMQTT, s.serveWebSocket)
	mux.HandleFunc("GET "+wire.PathDirection, s.serveDirection)
	mux.HandleFunc("POST "+wire.PathReports, s.serveReports)
	s.http = &http.Server{Handler: s.api(mux), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go s.http.Serve(plainListener{s})
	s.startBroker()
	t.Cleanup(s.close)
	return s
}

func (s *service) close() {
	s.once.Do(func() {
		close(s.quit)
		s.stopBroker()
		s.http.Close()
	})
}

// dial is the Dial hook of a device: a pipe into the service, whatever the address.
func (s *service) dial(context.Context, string, string) (net.Conn, error) {
	there, here := pipe()
	go s.serve(there)
	return here, nil
}

// listen serves on a real port.
func (s *service) listen() (address string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return ln.Addr().String()
}

// serve sorts one connection.
func (s *service) serve(raw net.Conn) {
	s.do(func() { s.accepted = append(s.accepted, time.Now()); s.conns[raw] = true })
	defer s.do(func() { delete(s.conns, raw) })
	s.mu.Lock()
	cfg := s.tls.Clone()
	if s.noMQTT {
		cfg.NextProtos = []string{"http/1.1"}
	}
	broker := s.broker
	s.mu.Unlock()
	conn := tls.Server(raw, cfg)
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == wire.ALPN {
		if s.enterBroker(broker) {
			defer broker.Listeners.ClientsWg.Done()
			_ = broker.EstablishConnection("tls", conn)
		}
		return
	}
	done := make(chan struct{})
	select {
	case s.plain <- &plainConn{Conn: conn, done: done}:
		<-done
	case <-s.quit:
	}
}

// plainConn tells when the HTTP server has done with it.
type plainConn struct {
	*tls.Conn
	once sync.Once
	done chan struct{}
}

func (c *plainConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

type plainListener struct{ s *service }

func (l plainListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.s.plain:
		return conn, nil
	case <-l.s.quit:
		return nil, net.ErrClosed
	}
}
func (l plainListener) Close() error   { return nil }
func (l plainListener) Addr() net.Addr { return &net.TCPAddr{} }

// cut breaks every connection.
func (s *service) cut() {
	s.do(func() {
		for conn := range s.conns {
			conn.Close()
		}
	})
}
