package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/pki"
)

var now = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, at time.Time) *pki.Authority {
	t.Helper()
	a, err := pki.Open(dir, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func key(t *testing.T, c elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t *testing.T, k crypto.Signer, cn string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func issue(t *testing.T, a *pki.Authority, k crypto.Signer) *x509.Certificate {
	t.Helper()
	text, _, err := a.Issue(k.Public(), "acme", "d1")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verify(c *x509.Certificate, roots *x509.CertPool, at time.Time, use x509.ExtKeyUsage) error {
	_, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

func TestDeviceCertificate(t *testing.T) {
	a := open(t, t.TempDir(), now)
	c := issue(t, a, key(t, elliptic.P256()))
	if err := verify(c, a.Devices(), now, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error("as a client:", err)
	}
	if err := verify(c, a.Devices(), now, x509.ExtKeyUsageServerAuth); err == nil {
		t.Error("a device certificate passes as a server's")
	}
	if err := verify(c, a.Devices(), now.Add(pki.DeviceLifetime+time.Hour), x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("a device certificate does not end")
	}
	tenant, device, err := pki.Identity(c)
	if err != nil || tenant != "acme" || device != "d1" {
		t.Errorf("identity %q %q, %v", tenant, device, err)
	}
	other := open(t, t.TempDir(), now)
	if err := verify(c, other.Devices(), now, x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("another service's authority accepts it")
	}
}

func TestServerCertificate(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, now)
	first, err := a.Server([]string{"updates.example.net", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.ServerAuthority())
	for at, when := range map[string]time.Time{"now": now, "a device built in 2021": now.AddDate(-5, 0, 0), "in four years": now.AddDate(4, 0, 0)} {
		if err := verify(first.Leaf, roots, when, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if err := verify(first.Leaf, a.Devices(), now, x509.ExtKeyUsageAny); err == nil {
		t.Error("the server's certificate passes as a device")
	}
	for _, c := range []struct {
		what  string
		at    time.Time
		names []string
		same  bool
	}{
		{"the same names", now, []string{"127.0.0.1"}, true},
		{"a new name", now, []string{"127.0.0.1", "other.example.net"}, false},
		{"near its end", now.AddDate(4, 6, 0), []string{"127.0.0.1"}, false},
	} {
		again, err := open(t, dir, c.at).Server(c.names)
		if err != nil {
			t.Fatal(c.what, err)
		}
		if same := again.Leaf.Equal(first.Leaf); same != c.same {
			t.Errorf("%s: kept %v, want %v", c.what, same, c.same)
		}
		first = again
	}
}

func TestRequests(t *testing.T) {
	p256 := key(t, elliptic.P256())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]crypto.Signer{"p-256": p256, "ed25519": ed} {
		pub, err := pki.ParseRequest(pemOf("CERTIFICATE REQUEST", request(t, k, "admin")))
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, p256, "x")
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for name, text := range map[string]string{
		"empty":            "",
		"not pem":          "hello",
		"a certificate":    pemOf("CERTIFICATE", good),
		"two blocks":       pemOf("CERTIFICATE REQUEST", good) + pemOf("CERTIFICATE REQUEST", good),
		"garbage":          pemOf("CERTIFICATE REQUEST", []byte("garbage")),
		"rsa":              pemOf("CERTIFICATE REQUEST", request(t, weak, "x")),
		"p-384":            pemOf("CERTIFICATE REQUEST", request(t, key(t, elliptic.P384()), "x")),
		"forged signature": pemOf("CERTIFICATE REQUEST", forged),
		"huge":             pemOf("CERTIFICATE REQUEST", make([]byte, 20<<10)),
	} {
		if _, err := pki.ParseRequest(text); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAuthorityIsKept(t *testing.T) {
	dir := t.TempDir()
	c := issue(t, open(t, dir, now), key(t, elliptic.P256()))
	if err := verify(c, open(t, dir, now).Devices(), now, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error("after a restart:", err)
	}
	for _, name := range []string{"device-ca.key", "server-ca.key"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	// A crash after the key and before the certificate.
	if err := os.Remove(filepath.Join(dir, "device-ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := verify(c, open(t, dir, now).Devices(), now, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error("after losing the certificate but not the key:", err)
	}
	// Another key beside the certificate.
	if err := os.Remove(filepath.Join(dir, "device-ca.key")); err != nil {
		t.Fatal(err)
	}
	_, err := pki.Open(dir, time.Now)
	if err == nil || !strings.Contains(err.Error(), "belong together") {
		t.Errorf("a stray key: %v", err)
	}
}

func TestIdentityNeedsOneName(t *testing.T) {
	if _, _, err := pki.Identity(&x509.Certificate{Subject: pkix.Name{CommonName: "d1"}}); err == nil {
		t.Error("a certificate without a URI has an identity")
	}
	c := issue(t, open(t, t.TempDir(), now), key(t, elliptic.P256()))
	c.Subject.CommonName = "d2"
	if _, _, err := pki.Identity(c); err == nil {
		t.Error("a certificate with two names has an identity")
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")
	f.Add(pemOf("CERTIFICATE REQUEST", []byte{0x30, 0x80}))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if pub, err := pki.ParseRequest(text); err == nil && pub == nil {
			t.Error("no key and no error")
		}
	})
}
