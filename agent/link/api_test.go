package link

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fairlead/fairlead/agent/wire"
)

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
	if !s.enterBroker(broker) {
		conn.Close()
		return
	}
	defer broker.Listeners.ClientsWg.Done()
	_ = broker.EstablishConnection("wss", &wsConn{Conn: conn})
}
