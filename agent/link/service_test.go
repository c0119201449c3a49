package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is what a test watches: changes under its lock wake up those who wait for them.
type scene struct {
	mu       sync.Mutex
	cond     *sync.Cond
	patience time.Duration
}

func newScene() *scene {
	s := &scene{patience: 20 * time.Second}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *scene) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.cond.Broadcast()
}

// look reads under the lock.
func look[T any](s *scene, get func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return get()
}

// until waits until ok holds.
func (s *scene) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(s.patience, func() { s.do(func() { late = true }) })
	defer timer.Stop()
	defer s.beat()()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if late {
			t.Fatalf("waited in vain: %s", what)
		}
		s.cond.Wait()
	}
}

// beat wakes those who wait for things outside of the scene too, such as a status. In false
// time there is none: it would pass in small steps.
func (s *scene) beat() (stop func()) {
	if s.patience > time.Minute {
		return func() {}
	}
	ticker, done := time.NewTicker(5*time.Millisecond), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				s.do(func() {})
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

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

	broker *mqtt.Server
	conns  map[net.Conn]bool

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
		_ = broker.EstablishConnection("tls", conn)
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

// startBroker begins with an empty broker, which has the direction.
func (s *service) startBroker() {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = 64
	broker := mqtt.New(&mqtt.Options{Capabilities: caps, InlineClient: true, SysTopicResendInterval: 3600,
		Logger: slog.New(slog.DiscardHandler)})
	if err := broker.AddHook(&recorder{s: s}, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := broker.Serve(); err != nil {
		s.t.Fatal(err)
	}
	s.do(func() { s.broker = broker })
	if s.direction != "" {
		s.direct(s.direction)
	}
}

func (s *service) stopBroker() {
	s.mu.Lock()
	broker := s.broker
	s.mu.Unlock()
	s.cut()
	broker.Close()
}

// direct gives device d1 a direction.
func (s *service) direct(raw string) {
	s.do(func() { s.direction, s.etag = raw, `"`+raw[len(raw)-3:]+`"` })
	s.publish(wire.LeafDirection, raw, true)
}

func (s *service) publish(leaf, payload string, retain bool) {
	if err := s.broker.Publish(wire.Topic("acme", "d1", leaf), []byte(payload), retain, 1); err != nil {
		s.t.Error(err)
	}
}

// recorder is the broker's hook: who may, and what came.
type recorder struct {
	mqtt.HookBase
	s *service
}

func (r *recorder) ID() string { return "recorder" }
func (r *recorder) Provides(b byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish}, []byte{b})
}

// OnConnect works around the broker's flow control, which stalls.
func (r *recorder) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
	r.s.do(func() {
		r.s.connects = append(r.s.connects, time.Now())
		r.s.clean = append(r.s.clean, pk.Connect.Clean)
		r.s.wills = append(r.s.wills, cl.Properties.Will)
		r.s.keepAlive = append(r.s.keepAlive, pk.Connect.Keepalive)
	})
	return nil
}

func (r *recorder) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.denied != 0 {
		_ = r.s.broker.SendConnack(cl, packets.Code{Code: r.s.denied, Reason: "no"}, false, nil)
	}
	return r.s.denied == 0
}

// OnACLCheck allows what the service's rules allow.
func (r *recorder) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	tenant, device, leaf, err := wire.ParseTopic(topic)
	return err == nil && tenant == "acme" && device == cl.ID && wire.Up(leaf) == write
}

// OnPublish stores, then lets the broker acknowledge.
func (r *recorder) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	_, _, leaf, err := wire.ParseTopic(pk.TopicName)
	if err == nil {
		err = r.s.store(leaf, pk.Payload)
	}
	if err != nil {
		return pk, packets.ErrPayloadFormatInvalid
	}
	return pk, nil
}

func (s *service) store(leaf string, payload []byte) (err error) {
	switch leaf {
	case wire.LeafEvent:
		var e wire.Event
		if e, err = wire.DecodeEvent(payload); err == nil {
			err = s.storeEvents(e)
		}
	case wire.LeafReported:
		err = keep(s, &s.reported, payload, wire.DecodeReported)
	case wire.LeafPresence:
		err = keep(s, &s.presence, payload, wire.DecodePresence)
	case wire.LeafProgress:
		err = keep(s, &s.progress, payload, wire.DecodeProgress)
	case wire.LeafReply:
		err = keep(s, &s.replies, payload, wire.DecodeReply)
	}
	return err
}

func keep[M wire.Message](s *service, list *[]M, payload []byte, dec func([]byte) (M, error)) error {
	m, err := dec(payload)
	if err == nil {
		s.do(func() { *list = append(*list, m) })
	}
	return err
}

func (s *service) storeEvents(events ...wire.Event) (err error) {
	s.do(func() {
		for _, e := range events {
			if s.refuse != nil && s.refuse(e) {
				err = packets.ErrPayloadFormatInvalid
				return
			}
			s.arrivals++
			s.stored[eventName{e.Epoch, e.Seq}] = e
		}
	})
	return err
}

// updates lists the stored events' updates in order of their numbers.
func (s *service) updates() (out []string) {
	events := make([]wire.Event, 0, len(s.stored))
	for _, e := range s.stored {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b wire.Event) int { return int(a.Seq - b.Seq) })
	for _, e := range events {
		out = append(out, e.Update)
	}
	return out
}

// lastLink is how the newest report came.
func (s *service) lastLink() *wire.LinkStatus {
	if len(s.reported) == 0 {
		return nil
	}
	return s.reported[len(s.reported)-1].Link
}

// api is around every HTTPS request.
func (s *service) api(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer, off := s.answer, s.noHTTP
		s.mu.Unlock()
		switch {
		case off:
			panic(http.ErrAbortHandler)
		case answer != nil && r.URL.Path != wire.PathMQTT:
			s.noteRequest(r)
			answer(w, r)
		case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
			fail(w, http.StatusUnauthorized, wire.CodeUnauthorized)
		default:
			s.noteRequest(r)
			next.ServeHTTP(w, r)
		}
	})
}

func (s *service) noteRequest(r *http.Request) {
	s.do(func() {
		switch r.URL.Path {
		case wire.PathReports:
			s.posts = append(s.posts, time.Now())
		case wire.PathDirection:
			s.asked, s.askedAt = append(s.asked, r.Header.Get("If-None-Match")), append(s.askedAt, time.Now())
		}
	})
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(wire.ErrorBody{Error: wire.Error{Code: code, Message: "no"}})
}

func (s *service) serveDirection(w http.ResponseWriter, r *http.Request) {
	var raw, etag string
	s.do(func() {
		raw, etag = s.direction, s.etag
	})
	switch {
	case raw == "":
		w.WriteHeader(http.StatusNoContent)
	case r.Header.Get("If-None-Match") == etag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", etag)
		_, _ = io.WriteString(w, raw)
	}
}

func (s *service) serveReports(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	reports, err := wire.DecodeReports(body)
	if err == nil {
		err = s.storeEvents(reports.Events...)
	}
	s.do(func() {
		if err == nil && reports.Reported != nil {
			s.reported = append(s.reported, *reports.Reported)
		}
	})
	if err != nil {
		fail(w, http.StatusBadRequest, wire.CodeBadRequest)
		return
	}
	var ack wire.ReportsAck
	if n := len(reports.Events); n > 0 {
		ack.Seq = reports.Events[n-1].Seq
	}
	_ = json.NewEncoder(w).Encode(ack)
}

func (s *service) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	off, broker := s.noWebSocket, s.broker
	s.mu.Unlock()
	if off {
		fail(w, http.StatusNotFound, wire.CodeNotFound)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{wire.Subprotocol}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	_ = broker.EstablishConnection("wss", &wsConn{Conn: conn})
}
