package link

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Enroll asks the service of n for an identity for key, which stays where it is. Of req
// everything but the CSR is given. What comes back was checked: the certificate is for key
// and names the tenant and the device. Errors are of type *[Error], and their classes say
// whether to try again.
func Enroll(ctx context.Context, n Network, key crypto.Signer, req wire.EnrollRequest) (wire.EnrollResponse, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: req.Serial}}, key)
	if err != nil {
		return wire.EnrollResponse{}, fmt.Errorf("enrol: make the certificate request: %w", err)
	}
	req.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	body, err := wire.Encode(req)
	if err != nil {
		return wire.EnrollResponse{}, &Error{Class: ClassRequest, Err: fmt.Errorf("enrol: %w", err)}
	}
	resp, err := enroll(ctx, n, body)
	if err != nil {
		return wire.EnrollResponse{}, fmt.Errorf("enrol with %s: %w", n.Service, err)
	}
	if err := checkIdentity(resp, key.Public()); err != nil {
		return wire.EnrollResponse{}, &Error{Class: ClassUnavailable, Err: fmt.Errorf("enrol: what the service sent: %w", err)}
	}
	return resp, nil
}

func enroll(ctx context.Context, n Network, body []byte) (wire.EnrollResponse, error) {
	d, err := newDialer(n, nil)
	if err != nil {
		return wire.EnrollResponse{}, &Error{Class: ClassRequest, Err: err}
	}
	now := n.Now
	if now == nil {
		now = time.Now
	}
	t := d.transport()
	defer t.CloseIdleConnections()
	got, err := newAPI(d, t, time.Minute, now).do(ctx, http.MethodPost, wire.PathEnroll, jsonHeader(), body, wire.MaxEnrollResponse)
	if err != nil {
		return wire.EnrollResponse{}, err
	}
	resp, err := wire.DecodeEnrollResponse(got.body)
	if err != nil {
		return wire.EnrollResponse{}, &Error{Class: ClassUnavailable, Err: err}
	}
	return resp, nil
}

// checkIdentity says whether r can serve the holder of a key.
func checkIdentity(r wire.EnrollResponse, key crypto.PublicKey) error {
	block, _ := pem.Decode([]byte(r.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("the certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the certificate cannot be read: %w", err)
	}
	if pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key) {
		return errors.New("the certificate is for another key")
	}
	if cert.Subject.CommonName != r.Device || !names(cert.URIs, wire.DeviceURI(r.Tenant, r.Device)) {
		return fmt.Errorf("the certificate does not name device %s of tenant %s", r.Device, r.Tenant)
	}
	if !json.Valid([]byte(r.DirectorRoot)) {
		return errors.New("the director's root is not JSON")
	}
	return nil
}

func names(uris []*url.URL, want string) bool {
	for _, u := range uris {
		if u.String() == want {
			return true
		}
	}
	return false
}
