package agenttest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// signer is a key as package direction wants it.
type signer struct{ tuftest.Key }

func (s signer) ID() string { return s.Key.ID }

func rawMessage(b []byte) *json.RawMessage {
	m := json.RawMessage(b)
	return &m
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func (s *Site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathEnroll, s.enroll)
	mux.HandleFunc("GET "+wire.PathDirection, s.direction)
	mux.HandleFunc("POST "+wire.PathReports, s.reports)
	mux.HandleFunc("GET /director/{tenant}/{file}", s.directorRoot)
	mux.HandleFunc("GET /blobs/{name}", s.blob)
	mux.Handle("GET /", s.Repo)
	return mux
}

func (s *Site) enroll(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	req, err := wire.DecodeEnrollRequest(b)
	if err != nil {
		refuse(w, http.StatusBadRequest, wire.CodeBadRequest, err.Error())
		return
	}
	block, _ := pem.Decode([]byte(req.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		refuse(w, http.StatusBadRequest, wire.CodeBadRequest, err.Error())
		return
	}
	id := s.known(r, csr)
	if req.Claim != Claim && id == "" {
		refuse(w, http.StatusForbidden, wire.CodeClaimUnknown, "no such claim token")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		id = uuid.NewString()
		s.devices[id] = &device{events: map[string]wire.Event{}}
	} else if s.busy {
		refuse(w, http.StatusServiceUnavailable, wire.CodeUnavailable, "no certificates today")
		return
	}
	cert := s.issueFor(&x509.Certificate{
		Subject: pkix.Name{CommonName: id}, URIs: deviceURI(id), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey, s.life)
	_, root := s.Director.Newest(metadata.ROOT)
	answer(w, wire.EnrollResponse{
		Tenant: Tenant, Device: id, DirectorRoot: string(root), Expires: cert.NotAfter,
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})),
	})
}

// known is the device that renews its certificate, "" if it is not one: its key must be that of the connection.
func (s *Site) known(r *http.Request, csr *x509.CertificateRequest) string {
	if len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	c := r.TLS.PeerCertificates[0]
	if pub, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(c.PublicKey) {
		return ""
	}
	return c.Subject.CommonName
}

// who is the device that asks, with the site's lock held; nil was answered already.
func (s *Site) who(w http.ResponseWriter, r *http.Request) *device {
	if len(r.TLS.PeerCertificates) > 0 {
		if d := s.devices[r.TLS.PeerCertificates[0].Subject.CommonName]; d != nil {
			d.cert = r.TLS.PeerCertificates[0]
			d.requests++
			return d
		}
	}
	refuse(w, http.StatusUnauthorized, wire.CodeUnauthorized, "who are you?")
	return nil
}

func (s *Site) direction(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.who(w, r)
	if d == nil {
		return
	}
	if d.raw == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"`+firmware.Sum(d.raw).String()+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.raw))
}

func (s *Site) reports(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	got, err := wire.DecodeReports(b)
	if err != nil {
		refuse(w, http.StatusBadRequest, wire.CodeBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.who(w, r)
	if d == nil {
		return
	}
	answer(w, wire.ReportsAck{Seq: d.take(got)})
}

// take stores what the device says, each event once, and returns the number of the last.
func (d *device) take(got wire.Reports) (last int64) {
	if got.Reported != nil {
		d.reported = *got.Reported
		d.reports++
	}
	for _, e := range got.Events {
		name := e.Epoch + "/" + time.Duration(e.Seq).String()
		if _, again := d.events[name]; !again {
			d.events[name] = e
			d.order = append(d.order, e)
		}
		last = e.Seq
	}
	return last
}

func (s *Site) directorRoot(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = "/metadata/" + r.PathValue("file")
	s.Director.ServeHTTP(w, r)
}

func (s *Site) blob(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	s.mu.Lock()
	b, spoil := s.blobs[name], s.spoil
	s.mu.Unlock()
	if b != nil && spoil != nil {
		b = spoil(name, bytes.Clone(b))
	}
	if b == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+strings.TrimPrefix(name, "blobs/")+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func answer[M wire.Message](w http.ResponseWriter, m M) {
	b, err := wire.Encode(m)
	check(err)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b, err := wire.Encode(wire.ErrorBody{Error: wire.Error{Code: code, Message: message}})
	check(err)
	_, _ = w.Write(b)
}
