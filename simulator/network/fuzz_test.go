package network

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// TestCertificatesAreThoseThatAreShown, whoever came before, and none is good beyond its time because it was once.
func TestCertificatesAreThoseThatAreShown(t *testing.T) {
	certs, began := &certificates{}, time.Unix(1_800_000_000, 0)
	hello := func(name string) []byte {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: began, NotAfter: began.Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, pub, key)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte("\x04mqtt"), der...)
	}
	a, b := hello("a"), hello("b")
	for _, shown := range []struct {
		body []byte
		want string
	}{{a, "a"}, {b, "b"}, {a, "a"}, {b, "b"}} {
		state, err := readHello(shown.body, began, certs)
		if err != nil || state.PeerCertificates[0].Subject.CommonName != shown.want {
			t.Errorf("%+v, %v, want %s", state.PeerCertificates, err, shown.want)
		}
	}
	if _, err := readHello(a, began.Add(2*time.Hour), certs); err == nil {
		t.Error("a certificate was good beyond its time")
	}
}

// FuzzHello: whatever a client says first, nothing breaks, and who is let in has named a protocol.
func FuzzHello(f *testing.F) {
	f.Add([]byte("\x04mqtt"))
	f.Add([]byte("\x08http/1.1\x30\x00"))
	f.Add([]byte("\x00"))
	f.Add([]byte("\xffm"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || len(body) > maxPlainHello {
			return // welcome refuses them
		}
		state, err := readHello(body, time.Unix(1_800_000_000, 0), &certificates{})
		if err == nil && (state.NegotiatedProtocol == "" || len(body) > 1+int(body[0]) && len(state.PeerCertificates) != 1) {
			t.Errorf("%x: let in as %q with %d certificates", body, state.NegotiatedProtocol, len(state.PeerCertificates))
		}
	})
}
