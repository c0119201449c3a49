package link

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// renewing answers a device that shows its certificate and brings no claim with one until later.
func renewing(t *testing.T, ca *authority, until time.Time, spoil func(*wire.EnrollResponse)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		req, err := wire.DecodeEnrollRequest(body)
		if err != nil || req.Claim != "" || len(r.TLS.PeerCertificates) == 0 {
			fail(w, http.StatusForbidden, wire.CodeClaimUnknown)
			return
		}
		block, _ := pem.Decode([]byte(req.CSR))
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Error(err)
		}
		cert := ca.device(t, "d1", &ecdsa.PrivateKey{PublicKey: *csr.PublicKey.(*ecdsa.PublicKey)}, until)
		resp := wire.EnrollResponse{Tenant: "acme", Device: "d1", Certificate: pemOf(cert.Leaf), DirectorRoot: "{}", Expires: until}
		spoil(&resp)
		_ = json.NewEncoder(w).Encode(resp)
	}
}

// TestRenew: the device asks with what it has, for the same key; and the next connection, which
// TLS would resume, shows the new certificate.
func TestRenew(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.do(func() { s.tls.SetSessionTicketKeys([][32]byte{{1}}) }) // or it could not resume: each connection has a copy
	cfg := config(t, s, ca)
	key, later := newKey(t), someDay.AddDate(1, 0, 0)
	var mu sync.Mutex
	now := ca.device(t, "d1", key, someDay)
	cfg.Certificate = func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		return now, nil
	}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.HTTPClient().CloseIdleConnections()
	s.answer = renewing(t, ca, later, func(*wire.EnrollResponse) {})
	got, err := l.Renew(t.Context(), key, wire.EnrollRequest{Claim: "of long ago", Product: "base", Hardware: "h"})
	if err != nil || !got.Expires.Equal(later) {
		t.Fatalf("got %+v, %v", got, err)
	}
	var shown time.Time
	var resumed bool
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		shown, resumed = r.TLS.PeerCertificates[0].NotAfter, r.TLS.DidResume
		w.WriteHeader(http.StatusNoContent)
	}
	ask := func() time.Time {
		t.Helper()
		l.HTTPClient().CloseIdleConnections()
		if _, err := l.Direction(t.Context()); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	if at := ask(); !at.Equal(someDay) || !resumed {
		t.Fatalf("before: until %v, resumed %v: the test shows nothing", at, resumed)
	}
	mu.Lock()
	now = ca.device(t, "d1", key, later)
	mu.Unlock()
	l.NewCertificate()
	if at := ask(); !at.Equal(later) {
		t.Errorf("the connection after it shows the certificate until %v", at)
	}
}

func TestRenewRefused(t *testing.T) {
	ca := newAuthority(t, "ca")
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  string
	}{
		"revoked":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, wire.CodeRevoked) }, ClassIdentity},
		"busy":         {func(w http.ResponseWriter, _ *http.Request) { fail(w, 429, wire.CodeBusy) }, ClassUnavailable},
		"another":      {renewing(t, ca, someDay, func(r *wire.EnrollResponse) { r.Device = "d2" }), ClassUnavailable},
		"other tenant": {renewing(t, ca, someDay, func(r *wire.EnrollResponse) { r.Tenant = "else" }), ClassUnavailable},
		"whole stranger": {renewing(t, ca, someDay, func(r *wire.EnrollResponse) {
			r.Device, r.Certificate = "d2", pemOf(ca.device(t, "d2", newKey(t), someDay).Leaf)
		}), ClassUnavailable},
	} {
		s := newService(t, ca)
		s.answer = c.answer
		l, err := New(config(t, s, ca))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Renew(t.Context(), newKey(t), wire.EnrollRequest{Product: "base", Hardware: "h"}); class(err) != c.class {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		l.HTTPClient().CloseIdleConnections()
	}
	cfg := config(t, newService(t, ca), ca)
	cfg.Disabled = true
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Renew(t.Context(), newKey(t), wire.EnrollRequest{Product: "base", Hardware: "h"}); err == nil {
		t.Error("a link that is switched off has renewed a certificate")
	}
}
