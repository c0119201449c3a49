package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	// DeviceLifetime is how long a device certificate lasts.
	DeviceLifetime = 365 * 24 * time.Hour

	authorityLifetime = 30 * 365 * 24 * time.Hour
	maxCSR            = 8 << 10
)

// epoch is the beginning of validity of what devices must accept with a clock that is
// behind.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Authority holds the authorities of one service.
type Authority struct {
	dir    string
	clock  func() time.Time
	device pair
	server pair
}

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Open loads the authorities in dir, and makes what is missing.
func Open(dir string, clock func() time.Time) (*Authority, error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	a := &Authority{dir: dir, clock: clock}
	var err error
	if a.device, err = a.authority("device-ca", "Fairlead devices"); err != nil {
		return nil, err
	}
	if a.server, err = a.authority("server-ca", "Fairlead service"); err != nil {
		return nil, err
	}
	return a, nil
}

// authority loads or makes NAME.key and NAME.crt. A crash between the two leaves a key
// alone, which is then used.
func (a *Authority) authority(name, cn string) (pair, error) {
	key, err := a.key(name)
	if err != nil {
		return pair{}, err
	}
	path := filepath.Join(a.dir, name+".crt")
	cert, err := readCertificate(path)
	if errors.Is(err, fs.ErrNotExist) {
		cert, err = a.makeAuthority(path, cn, key)
	}
	if err != nil {
		return pair{}, err
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return pair{}, fmt.Errorf("%s and %s.key do not belong together: restore both from the same backup", path, name)
	}
	return pair{cert, key}, nil
}

func (a *Authority) key(name string) (crypto.Signer, error) {
	path := filepath.Join(a.dir, name+".key")
	key, err := keyfile.Load(path, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = keyfile.Generate(keyfile.ECDSAP256); err != nil {
		return nil, err
	}
	return key, keyfile.Save(path, key, nil)
}

func (a *Authority) makeAuthority(path, cn string, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cn},
		NotBefore: epoch, NotAfter: a.clock().Add(authorityLifetime).UTC().Truncate(time.Second),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", path, err)
	}
	if err := durable.WriteFile(path, encode(der), 0o644); err != nil {
		return nil, fmt.Errorf("making %s: %w", path, err)
	}
	return x509.ParseCertificate(der)
}

// Devices is the pool that client certificates are checked against.
func (a *Authority) Devices() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.device.cert)
	return p
}

// ServerAuthority is the certificate, in PEM, that devices trust for the connection.
func (a *Authority) ServerAuthority() []byte { return encode(a.server.cert.Raw) }

// ParseRequest reads a device's certificate request and checks that the sender has the
// key. Its subject and extensions are not looked at.
func ParseRequest(text string) (crypto.PublicKey, error) {
	if len(text) > maxCSR {
		return nil, fmt.Errorf("certificate request has %d bytes, more than %d", len(text), maxCSR)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) != 0 {
		return nil, errors.New("certificate request is not one PEM block of type CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request is not signed by its own key: %w", err)
	}
	return csr.PublicKey, nil
}

func checkKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("device key is on curve %s: use P-256 or Ed25519", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("device key is a %T: use P-256 or Ed25519", pub)
}

// Issue makes the certificate of a device, in PEM.
func (a *Authority) Issue(pub crypto.PublicKey, tenant, device string) ([]byte, time.Time, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, time.Time{}, err
	}
	name, err := url.Parse(wire.DeviceURI(tenant, device))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("naming device %s: %w", device, err)
	}
	now := a.clock().UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: device}, URIs: []*url.URL{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(DeviceLifetime), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.device.cert, pub, a.device.key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("certifying device %s: %w", device, err)
	}
	return encode(der), t.NotAfter, nil
}

// Identity reads tenant and device out of a certificate that TLS has verified against
// Devices.
func Identity(c *x509.Certificate) (tenant, device string, err error) {
	if len(c.URIs) != 1 {
		return "", "", fmt.Errorf("device certificate has %d URI names instead of 1", len(c.URIs))
	}
	tenant, device, err = wire.ParseDeviceURI(c.URIs[0].String())
	if err == nil && c.Subject.CommonName != device {
		err = fmt.Errorf("device certificate has two names, %.80q and %.80q", c.Subject.CommonName, device)
	}
	return tenant, device, err
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("certificate %s is not PEM", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", path, err)
	}
	return c, nil
}
