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
)

// admit tells which device is at the other end.
func (s *Service) admit(ctx context.Context, state *tls.ConnectionState) (director.Identity, error) {
	if state == nil || len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
		return director.Identity{}, &director.Error{Code: wire.CodeUnauthorized,
			Message: "a device certificate is needed here: enrol first"}
	}
	return s.director.Admit(ctx, state.PeerCertificates[0])
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
}

func (s *Service) deviceTable() []deviceRoute {
	repo := s.Repo.Handler(s.Log).ServeHTTP
	return []deviceRoute{
		{pattern: "/metadata/", public: repo},
		{pattern: "/targets/", public: repo},
		{pattern: "/blobs/", public: repo},
		{pattern: "GET /director/{tenant}/{file}", public: s.getDirectorRoot},
		{pattern: "POST " + wire.PathEnroll, public: s.postEnroll},
		{pattern: "GET " + wire.PathDirection, who: aDevice, device: s.getDirection},
		{pattern: "POST " + wire.PathReports, who: aDevice, device: s.postReports},
		{pattern: "GET " + wire.PathMQTT, who: aDevice, device: s.mqttOverWebSocket, raw: true},
	}
}

func (s *Service) deviceRoutes() http.Handler {
	mux := http.NewServeMux()
	for _, row := range s.deviceTable() {
		h := row.public
		if row.who == aDevice {
			h = s.forDevice(row.device)
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
func (s *Service) forDevice(h func(http.ResponseWriter, *http.Request, director.Identity)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := s.admit(r.Context(), r.TLS)
		if err != nil {
			s.failWith(w, r, err)
			return
		}
		h(w, r, id)
	}
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
	var caller *director.Identity
	if id, err := s.admit(r.Context(), r.TLS); err == nil {
		caller = &id
	}
	out, err := s.director.Enroll(r.Context(), req, caller)
	if err != nil {
		s.enrolls.failed(r.RemoteAddr)
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
