package link

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/wire"
)

// enrolling answers as the service does, for device d7; spoil changes the answer.
func enrolling(t *testing.T, ca *authority, seen *wire.EnrollRequest, spoil func(*wire.EnrollResponse)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		req, err := wire.DecodeEnrollRequest(body)
		block, _ := pem.Decode([]byte(req.CSR))
		if err != nil || block == nil || r.URL.Path != wire.PathEnroll || len(r.TLS.PeerCertificates) != 0 {
			fail(w, http.StatusBadRequest, wire.CodeBadRequest)
			return
		}
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || csr.CheckSignature() != nil {
			fail(w, http.StatusBadRequest, wire.CodeBadRequest)
			return
		}
		*seen = req
		cert := ca.device(t, "d7", &ecdsa.PrivateKey{PublicKey: *csr.PublicKey.(*ecdsa.PublicKey)}, someDay)
		resp := wire.EnrollResponse{Tenant: "acme", Device: "d7", Certificate: pemOf(cert.Leaf), Chain: pemOf(ca.cert),
			DirectorRoot: `{"signed":{}}`, Expires: someDay}
		spoil(&resp)
		_ = json.NewEncoder(w).Encode(resp)
	}
}

func TestEnroll(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	key := newKey(t)
	req := wire.EnrollRequest{Claim: "token", Product: "base", Hardware: "bu-1", Serial: "s-1", MAC: "02:00", Agent: "0.1.0"}
	var seen wire.EnrollRequest
	s.answer = enrolling(t, ca, &seen, func(*wire.EnrollResponse) {})
	got, err := Enroll(t.Context(), config(t, s, ca).Network, key, req)
	if err != nil || got.Device != "d7" || got.Tenant != "acme" {
		t.Fatalf("got %+v, %v", got, err)
	}
	req.CSR = seen.CSR
	if seen != req {
		t.Errorf("the service saw %+v", seen)
	}
}

func TestEnrollRefused(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	var seen wire.EnrollRequest
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  string
	}{
		"unknown claim": {func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, wire.CodeClaimUnknown) }, ClassClaim},
		"used claim":    {func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, wire.CodeClaimUsed) }, ClassClaim},
		"conflict":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 409, wire.CodeConflict) }, ClassConflict},
		"busy":          {func(w http.ResponseWriter, _ *http.Request) { fail(w, 429, wire.CodeBusy) }, ClassUnavailable},
		"portal":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, ClassCaptive},
		"nothing":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, ClassUnavailable},
		"other key": {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) {
			r.Certificate = pemOf(ca.device(t, "d7", newKey(t), someDay).Leaf)
		}), ClassUnavailable},
		"other device": {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) { r.Device = "d8" }), ClassUnavailable},
		"other tenant": {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) { r.Tenant = "else" }), ClassUnavailable},
		"no PEM":       {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) { r.Certificate = "x" }), ClassUnavailable},
		"no JSON":      {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) { r.DirectorRoot = "x" }), ClassUnavailable},
		"bad DER": {enrolling(t, ca, &seen, func(r *wire.EnrollResponse) {
			r.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
		}), ClassUnavailable},
	} {
		s := newService(t, ca)
		s.answer = c.answer
		_, err := Enroll(t.Context(), config(t, s, ca).Network, newKey(t), wire.EnrollRequest{Claim: "secret-claim", Product: "base", Hardware: "h"})
		if err == nil || class(err) != c.class || !strings.HasPrefix(err.Error(), "enrol") || strings.Contains(err.Error(), "secret-claim") {
			t.Errorf("%s: %s: %v", name, class(err), err)
		}
	}
	s := newService(t, other)
	_, err := Enroll(t.Context(), config(t, s, ca).Network, newKey(t), wire.EnrollRequest{Claim: "c", Product: "base", Hardware: "h"})
	if class(err) != ClassServer {
		t.Errorf("to a stranger: %v", err)
	}
	if _, err := Enroll(t.Context(), config(t, s, ca).Network, newKey(t), wire.EnrollRequest{}); class(err) != ClassRequest {
		t.Errorf("of nothing: %v", err)
	}
}
