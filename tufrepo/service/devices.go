package service

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

// proof is what a connection or request has brought to show who it is: a certificate, or else
// an access key in the header. nil for nothing.
func (s *Service) proof(state *tls.ConnectionState, header http.Header) broker.Proof {
	if state != nil && len(state.PeerCertificates) > 0 && len(state.VerifiedChains) > 0 {
		return func(ctx context.Context) (director.Identity, error) {
			return s.director.Admit(ctx, state.PeerCertificates[0])
		}
	}
	if key, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer "); ok {
		return s.login("", key)
	}
	if user, key, ok := (&http.Request{Header: header}).BasicAuth(); ok {
		return s.login(user, key)
	}
	return nil
}

// login is the proof of an access key.
func (s *Service) login(user, key string) broker.Proof {
	return func(ctx context.Context) (director.Identity, error) { return s.director.Login(ctx, user, key) }
}

// admit tells which device asks.
func (s *Service) admit(r *http.Request) (director.Identity, error) {
	proof := s.proof(r.TLS, r.Header)
	if proof == nil {
		return director.Identity{}, &director.Error{Code: wire.CodeUnauthorized,
			Message: "a device certificate or an access key is needed here: enrol first"}
	}
	if r.Header.Get("Authorization") == "" {
		return proof(r.Context())
	}
	if !s.enrolls.allow(r.RemoteAddr) {
		return director.Identity{}, &director.Error{Code: wire.CodeBusy, Message: "too many requests with access keys from this address"}
	}
	id, err := proof(r.Context())
	if director.Withdrawn(err) && !director.IsOffline(err) {
		s.enrolls.failed(r.RemoteAddr)
	}
	return id, err
}

// who may use a route of the device port.
type who int

const (
	everybody who = iota
	aDevice
)

// deviceRoute is one row of the table of the device port. The tests go through the table.
type deviceRoute struct {
	pattern string
	who     who
	public  http.HandlerFunc                                            // for everybody
	device  func(http.ResponseWriter, *http.Request, director.Identity) // for aDevice
	raw     bool                                                        // takes the connection over
	offline bool                                                        // also for one that is switched off
}

func (s *Service) deviceTable() []deviceRoute {
	repo := s.Repo.Handler(s.Log).ServeHTTP
	return []deviceRoute{
		{pattern: "/metadata/", public: repo},
		{pattern: "/targets/", public: repo},
		{pattern: "/blobs/", public: repo},
		{pattern: "/log/", public: repo},
		{pattern: "GET /director/{tenant}/{file}", public: s.getDirectorRoot},
		{pattern: "POST " + wire.PathEnroll, public: s.postEnroll},
		{pattern: "GET " + wire.PathDirection, who: aDevice, device: s.getDirection, offline: true},
		{pattern: "POST " + wire.PathReports, who: aDevice, device: s.postReports, offline: true},
		// It asks for itself who is there: a CONNECT may say it, too.
		{pattern: "GET " + wire.PathMQTT, public: s.mqttOverWebSocket, raw: true},
	}
}

func (s *Service) deviceRoutes() http.Handler {
	mux := http.NewServeMux()
	for _, row := range s.deviceTable() {
		h := row.public
		if row.who == aDevice {
			h = s.forDevice(row)
		}
		if !row.raw {
			h = s.guarded(row.pattern, h)
		}
		mux.HandleFunc(row.pattern, h)
	}
	mux.HandleFunc("/", s.guarded("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing at this path")
	}))
	return mux
}

// forDevice lets devices in and nobody else.
func (s *Service) forDevice(row deviceRoute) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := s.admit(r)
		if err != nil && !(row.offline && director.IsOffline(err)) {
			if director.Withdrawn(err) {
				w.Header().Set("WWW-Authenticate", `Basic realm="device", charset="UTF-8"`)
			}
			s.tellDevice(r.Context(), r.RemoteAddr, audit.DeviceRefuse, id, err)
			s.failWith(w, r, err)
			return
		}
		row.device(w, r.WithContext(withOffline(r.Context(), err)), id)
	}
}

type offlineKey struct{}

// withOffline keeps the reason why a device may do little.
func withOffline(ctx context.Context, err error) context.Context {
	if err == nil {
		return ctx
	}
	return context.WithValue(ctx, offlineKey{}, err)
}

// body reads a request up to limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}

func (s *Service) postEnroll(w http.ResponseWriter, r *http.Request) {
	if !s.enrolls.allow(r.RemoteAddr) {
		fail(w, http.StatusTooManyRequests, wire.CodeBusy, "too many enrolments from this address")
		return
	}
	b, err := body(w, r, wire.MaxPayload)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	req, err := wire.DecodeEnrollRequest(b)
	if err != nil {
		fail(w, http.StatusBadRequest, wire.CodeBadRequest, err.Error())
		return
	}
	caller := director.Caller{Source: sourceOf(r.RemoteAddr)}
	if proof := s.proof(r.TLS, nil); proof != nil { // an access key gets no certificate
		if id, err := proof(r.Context()); err == nil {
			caller.Identity = id
		}
	}
	out, err := s.director.Enroll(r.Context(), req, &caller)
	if err != nil {
		s.enrolls.failed(r.RemoteAddr)
		s.tellDevice(r.Context(), r.RemoteAddr, audit.DeviceEnroll, director.Identity{}, err)
		s.failWith(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, out)
}

func (s *Service) getDirection(w http.ResponseWriter, r *http.Request, id director.Identity) {
	raw, _, err := s.director.Direction(r.Context(), id.Device)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	if err := s.director.Seen(r.Context(), id); err != nil {
		s.Log.Warn("sign of life is not stored", "device", id.Device, "error", err)
	}
	w.Header().Set("ETag", `"`+firmware.Sum(raw).String()+`"`)
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("Content-Type", "application/json")
	// ServeContent knows If-None-Match.
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(raw)))
}

func (s *Service) postReports(w http.ResponseWriter, r *http.Request, id director.Identity) {
	b, err := body(w, r, wire.MaxPayload)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	reports, err := wire.DecodeReports(b)
	if err != nil {
		fail(w, http.StatusBadRequest, wire.CodeBadRequest, err.Error())
		return
	}
	// What it says of itself tells whether it was switched on again.
	if off, _ := r.Context().Value(offlineKey{}).(error); off != nil && reports.Reported == nil {
		s.failWith(w, r, off)
		return
	}
	begin := time.Now()
	ack, err := s.director.Reports(r.Context(), id, reports)
	s.metrics.observe("https", begin, err)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	answer(w, http.StatusOK, ack)
}

func (s *Service) getDirectorRoot(w http.ResponseWriter, r *http.Request) {
	name, isRoot := strings.CutSuffix(r.PathValue("file"), ".root.json")
	version, err := strconv.ParseInt(name, 10, 64)
	if !isRoot || err != nil || version < 1 || strconv.FormatInt(version, 10) != name {
		fail(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing at this path")
		return
	}
	raw, err := s.director.Root(r.Context(), r.PathValue("tenant"), version)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	w.Header().Set("ETag", `"`+firmware.Sum(raw).String()+`"`)
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(raw)))
}
