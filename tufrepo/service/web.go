package service

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

const (
	bodyTimeout  = 30 * time.Second // a request with its body
	writeTimeout = 30 * time.Second // one write of an answer
	idleTimeout  = 2 * time.Minute
	maxHeader    = 16 << 10
)

// web is the web servers of both ports.
type web struct {
	s        *Service
	devices  *http.Server
	operator *http.Server
	conns    *handedOver
}

func newWeb(s *Service) *web {
	w := &web{s: s, devices: s.server(stated(s.deviceRoutes())), operator: s.server(s.operatorRoutes()),
		conns: &handedOver{addr: s.devices.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}}
	w.devices.ConnContext = noteState
	return w
}

// server has no ReadTimeout and no WriteTimeout, which would end the download of a large
// blob; see guarded.
func (s *Service) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: s.Limits.Handshake, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		// Broken handshakes and the like of strangers are no news.
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)}
}

func (w *web) serve() error                         { return w.devices.Serve(w.conns) }
func (w *web) operate(ln net.Listener) error        { return w.operator.Serve(ln) }
func (w *web) take(ctx context.Context, c net.Conn) { w.conns.hand(ctx, c) }

// shutdown waits for requests until ctx ends, then cuts them off.
func (w *web) shutdown(ctx context.Context) {
	for _, srv := range []*http.Server{w.devices, w.operator} {
		if err := srv.Shutdown(ctx); err != nil {
			w.s.Log.Warn("requests were cut off", "error", err)
			srv.Close()
		}
	}
}

// handedOver is a listener of connections that somebody else has accepted.
type handedOver struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handedOver) hand(ctx context.Context, c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	case <-ctx.Done():
		c.Close()
	}
}

func (l *handedOver) Addr() net.Addr { return l.addr }

func (l *handedOver) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// fail answers with an error that programs understand.
func fail(w http.ResponseWriter, status int, code, message string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, status, wire.ErrorBody{Error: wire.Error{Code: code, Message: wire.Text(message)}})
}

func answer(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer cannot be written"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b) // the client may have gone
}

// statusOf is the HTTP status of each code.
var statusOf = map[string]int{
	wire.CodeBadRequest:   http.StatusBadRequest,
	wire.CodeUnauthorized: http.StatusUnauthorized,
	wire.CodeRevoked:      http.StatusForbidden,
	wire.CodeOffline:      http.StatusForbidden,
	wire.CodeClaimUnknown: http.StatusForbidden,
	wire.CodeClaimExpired: http.StatusForbidden,
	wire.CodeClaimUsed:    http.StatusForbidden,
	api.CodeForbidden:     http.StatusForbidden,
	wire.CodeConflict:     http.StatusConflict,
	wire.CodeNotFound:     http.StatusNotFound,
	wire.CodeTooLarge:     http.StatusRequestEntityTooLarge,
	wire.CodeBusy:         http.StatusTooManyRequests,
	wire.CodeUnavailable:  http.StatusServiceUnavailable,
}

// failWith answers with what went wrong. What is not the client's fault is logged, and the
// client is told to come again: the disk may have room then.
func (s *Service) failWith(w http.ResponseWriter, r *http.Request, err error) {
	var refused *director.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refused):
		fail(w, statusOf[refused.Code], refused.Code, refused.Message)
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "the request has more than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
	case errors.Is(err, store.ErrNotFound):
		fail(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing of that name")
	default:
		s.Log.Error("request failed", "path", r.URL.Path, "error", err)
		message := "the service cannot do that now; try again later"
		if strings.HasPrefix(r.URL.Path, api.Prefix) && databaseFailed(err) {
			message = err.Error() // operators can help it
		}
		fail(w, http.StatusServiceUnavailable, wire.CodeUnavailable, message)
	}
}

// databaseFailed says whether err tells what to do about the database.
func databaseFailed(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
}

// patient gives each write of an answer its own deadline: a large blob may take hours, a
// client that reads nothing may not.
type patient struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// guarded counts requests by route and outcome, sets deadlines for the body and the answer,
// and keeps a panic from more than its request.
func (s *Service) guarded(route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // the first Write says if it fails
		if r.ContentLength != 0 {
			// Also where nobody reads the body: the server would wait for it in the end.
			_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		rec := &recorder{ResponseWriter: w}
		defer func() { s.metrics.requests.WithLabelValues(route, strconv.Itoa(rec.status)).Inc() }()
		defer s.recovered(rec, r)
		h(patient{rec, rc}, r)
	}
}

// recovered turns a panic into an answer; where that has begun, into a cut connection.
func (s *Service) recovered(w *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		s.Log.Error("request failed", "path", r.URL.Path, "panic", p)
	}
	if p == http.ErrAbortHandler || w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	fail(w, http.StatusInternalServerError, wire.CodeInternal, "internal error")
}
