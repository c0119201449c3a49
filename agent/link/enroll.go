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
	resp, err := newAPI(d, t, time.Minute, now).enroll(ctx, key, req)
	if err != nil {
		return wire.EnrollResponse{}, fmt.Errorf("enrol with %s: %w", n.Service, err)
	}
	return resp, nil
}

// Renew asks for another certificate for key, with the one that the link has and without a
// claim. The answer is for the same device; errors are as of [Enroll].
func (l *Link) Renew(ctx context.Context, key crypto.Signer, req wire.EnrollRequest) (wire.EnrollResponse, error) {
	if l.cfg.Disabled {
		return wire.EnrollResponse{}, errDisabled
	}
	req.Claim = ""
	resp, err := l.api.enroll(ctx, key, req)
	if err == nil && (resp.Tenant != l.cfg.Tenant || resp.Device != l.cfg.Device) {
		err = &Error{Class: ClassUnavailable, Err: fmt.Errorf("it is for device %s of tenant %s, not for this one", resp.Device, resp.Tenant)}
	}
	if err != nil {
		return wire.EnrollResponse{}, fmt.Errorf("ask %s for a certificate: %w", l.cfg.Service, err)
	}
	return resp, nil
}

// NewCertificate says that Config.Certificate gives another one from now on: the next
// connection begins with it. Those that are up stay.
func (l *Link) NewCertificate() {
	l.dial.forget()
	l.roads.renew()
}

// enroll asks for a certificate for key, and looks at what comes.
func (a *api) enroll(ctx context.Context, key crypto.Signer, req wire.EnrollRequest) (resp wire.EnrollResponse, err error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: req.Serial}}, key)
	if err != nil {
		return resp, fmt.Errorf("make the certificate request: %w", err)
	}
	req.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	body, err := wire.Encode(req)
	if err != nil {
		return resp, &Error{Class: ClassRequest, Err: err}
	}
	got, err := a.do(ctx, http.MethodPost, wire.PathEnroll, jsonHeader(), body, wire.MaxEnrollResponse)
	if err != nil {
		return resp, err
	}
	if resp, err = wire.DecodeEnrollResponse(got.body); err == nil {
		err = checkIdentity(resp, key.Public())
	}
	if err != nil {
		return wire.EnrollResponse{}, &Error{Class: ClassUnavailable, Err: fmt.Errorf("what the service sent: %w", err)}
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
