package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
)

const (
	// serverLifetime is long because a device that slept in a box for years must
	// still be able to connect.
	serverLifetime = 5 * 365 * 24 * time.Hour
	// serverRenew is how long before its end a server certificate is made anew.
	serverRenew = 365 * 24 * time.Hour
)

// Server returns the server's certificate for these host names and addresses, with the
// authority behind it. It is made anew when it lacks one of them or comes near its end.
func (a *Authority) Server(names []string) (*tls.Certificate, error) {
	key, err := a.key("server")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(a.dir, "server.crt")
	cert, err := readCertificate(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if cert == nil || !a.serves(cert, key, names) {
		if cert, err = a.makeServer(path, names, key); err != nil {
			return nil, err
		}
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, a.server.cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func (a *Authority) serves(c *x509.Certificate, key crypto.Signer, names []string) bool {
	missing := slices.ContainsFunc(names, func(n string) bool { return c.VerifyHostname(n) != nil })
	return !missing && c.CheckSignatureFrom(a.server.cert) == nil &&
		samePublic(c.PublicKey, key.Public()) && a.clock().Add(serverRenew).Before(c.NotAfter)
}

func (a *Authority) makeServer(path string, names []string, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]},
		NotBefore: epoch, NotAfter: a.clock().Add(serverLifetime).UTC().Truncate(time.Second), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.server.cert, key.Public(), a.server.key)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", path, err)
	}
	if err := durable.WriteFile(path, encode(der), 0o644); err != nil {
		return nil, fmt.Errorf("making %s: %w", path, err)
	}
	return x509.ParseCertificate(der)
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
