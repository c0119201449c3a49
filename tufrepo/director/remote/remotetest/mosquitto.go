// Package remotetest starts Mosquitto for tests.
package remotetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Access is the access list of docs/operations.md: the director may all, a device its own topics.
const Access = `user director
topic readwrite fw/v1/#

pattern write fw/v1/+/%u/presence
pattern write fw/v1/+/%u/progress
pattern write fw/v1/+/%u/reply
pattern read fw/v1/+/%u/direction
pattern read fw/v1/+/%u/cmd
`

// Broker is a running Mosquitto, with TLS and client certificates.
type Broker struct {
	URL *url.URL
	CA  *x509.CertPool // of the broker's certificate
	PEM []byte         // the same

	t      testing.TB
	dir    string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
	cmd    *exec.Cmd
	log    bytes.Buffer
}

// Start starts a broker on a free port of 127.0.0.1, which also takes client certificates of the authorities in PEM files.
// It ends with the test.
func Start(t testing.TB, clients ...string) *Broker {
	t.Helper()
	path := find(t)
	b := &Broker{t: t, dir: t.TempDir()}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.authority()
	all := string(b.PEM)
	for _, file := range clients {
		more, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all += string(more)
	}
	b.file("ca.crt", all)
	b.write("server.crt", "server.key", "server", x509.ExtKeyUsageServerAuth)
	b.file("acl", Access)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.URL = &url.URL{Scheme: "mqtts", Host: l.Addr().String()}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	b.file("conf", fmt.Sprintf(`listener %d 127.0.0.1
cafile %[2]s/ca.crt
certfile %[2]s/server.crt
keyfile %[2]s/server.key
require_certificate true
use_identity_as_username true
acl_file %[2]s/acl
persistence false
user root
`, port, b.dir))
	b.Run(path)
	t.Cleanup(b.Kill)
	return b
}

// find is Mosquitto, or the end of the test.
func find(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("mosquitto"); err == nil {
		return path
	}
	const debian = "/usr/sbin/mosquitto" // where Debian has it, not in everybody's PATH
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	if os.Getenv("FAIRLEAD_NO_MOSQUITTO") != "" {
		t.Skip("FAIRLEAD_NO_MOSQUITTO is set")
	}
	t.Fatal("mosquitto is missing: apt-get install mosquitto, or set FAIRLEAD_NO_MOSQUITTO to leave this test out")
	return ""
}

// Run starts the broker, again after Kill, and waits until it answers.
func (b *Broker) Run(path string) {
	b.t.Helper()
	b.cmd = exec.Command(path, "-c", filepath.Join(b.dir, "conf"))
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.URL.Host)
		if err == nil {
			c.Close()
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("mosquitto does not answer: %v\n%s", err, b.log.String())
		}
		time.Sleep(10 * time.Millisecond) // until another process listens
	}
}

// Again starts a broker that was killed, with nothing of what it knew.
func (b *Broker) Again() {
	b.t.Helper()
	b.Run(find(b.t))
}

// Kill ends the broker as kill -9 does.
func (b *Broker) Kill() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.cmd = nil
}

// TLS is the configuration of a client whose certificate has a name.
func (b *Broker) TLS(name string) *tls.Config {
	b.t.Helper()
	cert, key := b.certificate(name, x509.ExtKeyUsageClientAuth)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		b.t.Fatal(err)
	}
	return &tls.Config{RootCAs: b.CA, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func (b *Broker) file(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) write(cert, key, name string, usage x509.ExtKeyUsage) {
	c, k := b.certificate(name, usage)
	b.file(cert, string(c))
	b.file(key, string(k))
}

func (b *Broker) authority() {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.ca, err = x509.ParseCertificate(raw); err != nil {
		b.t.Fatal(err)
	}
	b.key, b.CA, b.serial = key, x509.NewCertPool(), 1
	b.CA.AddCert(b.ca)
	b.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func (b *Broker) certificate(name string, usage x509.ExtKeyUsage) (cert, key []byte) {
	b.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	b.serial++
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(b.serial), Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, b.ca, &k.PublicKey, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		b.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
