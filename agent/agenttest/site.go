// Package agenttest is a service for tests of agents: an image repository and a director
// signed on the spot, and a real HTTPS server on the loopback that enrols devices, directs
// them and takes their reports, with polling only unless a test starts MQTT. It does what a
// test says, good or bad.
//
// Its methods panic where only a mistake in a test can be the cause.
package agenttest

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
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// Names that every site has.
const (
	Tenant   = "acme"
	Claim    = "claim-1"
	Product  = "base"
	Hardware = "bu-100"
)

// Site is a service.
type Site struct {
	Repo     *tuftest.Repo // image repository
	Director *tuftest.Repo // of which the root and the targets keys are used
	Server   *httptest.Server

	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu       sync.Mutex
	devices  map[string]*device
	releases map[string]direction.Target // by version
	blobs    map[string][]byte
	expires  time.Time
	spoil    func(name string, body []byte) []byte
	life     time.Duration // of the certificates of devices; 0: long
	busy     bool          // no certificate is renewed
	broker   *broker       // nil without MQTT
}

// device is what the site knows of one.
type device struct {
	version  int64
	raw      []byte
	events   map[string]wire.Event // by epoch and number
	order    []wire.Event
	reported wire.Reported
	reports  int
	requests int
	cert     *x509.Certificate // that it used last
}

// New makes a site whose metadata and certificates expire at expires, and starts it.
func New(expires time.Time) *Site {
	expires = expires.UTC().Truncate(time.Second)
	s := &Site{
		Repo: tuftest.New(expires), Director: tuftest.New(expires), expires: expires,
		devices: map[string]*device{}, releases: map[string]direction.Target{}, blobs: map[string][]byte{},
	}
	s.Repo.Delegate(metadata.TARGETS, metadata.DelegatedRole{Name: Product, Paths: []string{Product + "/*"}, Terminating: true})
	s.Publish()
	s.start()
	return s
}

// Publish publishes what the repository has.
func (s *Site) Publish() {
	s.Repo.PublishAll()
	s.Repo.Publish(metadata.SNAPSHOT, metadata.TIMESTAMP)
}

// Close stops the server.
func (s *Site) Close() { s.Server.Close() }

// Artifact is an image, encoded. To encode is the dearest part of a site: tests that use the
// same image share it.
type Artifact struct {
	firmware.Encoded
	bytes []byte
}

// Encode encodes an image, in small frames.
func Encode(image []byte) Artifact {
	var out bytes.Buffer
	spool, err := os.CreateTemp("", "agenttest-")
	check(err)
	defer os.Remove(spool.Name())
	defer spool.Close()
	e, err := firmware.Encode(context.Background(), &out, bytes.NewReader(image), int64(len(image)), spool,
		firmware.EncodeOptions{FrameSize: firmware.MinFrameSize})
	check(err)
	return Artifact{e, out.Bytes()}
}

// Patch is a patch from one image to another, with its bytes.
type Patch struct {
	firmware.Patch
	bytes []byte
}

// MakePatch makes a patch from base to image, in small frames.
func MakePatch(base, image []byte) Patch {
	var out bytes.Buffer
	spool, err := os.CreateTemp("", "agenttest-")
	check(err)
	defer os.Remove(spool.Name())
	defer spool.Close()
	c, err := delta.Create(context.Background(), &out, base, image, spool, delta.Options{FrameSize: firmware.MinFrameSize})
	check(err)
	return Patch{c.Patch, out.Bytes()}
}

// Serve serves a patch, for releases that name it.
func (s *Site) Serve(p Patch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs["blobs/"+p.SHA256.String()] = p.bytes
}

// Release publishes an artifact as a release of Product. edit may change the manifest before
// it is signed; nil leaves it.
func (s *Site) Release(version string, counter int64, e Artifact, edit func(*firmware.Manifest)) {
	m := &firmware.Manifest{
		Schema: 1, Product: Product, Hardware: []string{Hardware}, Version: version, Counter: counter,
		Image: e.Image, Artifact: e.Artifact,
	}
	if edit != nil {
		edit(m)
	}
	b, err := m.Encode()
	check(err)
	path := firmware.TargetPath(m.Product, m.Version)
	s.Repo.AddTarget(Product, path, b)
	custom := fmt.Appendf(nil, `{"counter":%d,"hardware":["%s"],"product":"%s","version":"%s"}`, m.Counter, strings.Join(m.Hardware, `","`), m.Product, m.Version)
	s.Repo.Targets[Product].Signed.Targets[path].Custom = rawMessage(custom)
	s.Publish()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs["blobs/"+e.Artifact.SHA256.String()] = e.bytes
	s.releases[version] = direction.Target{Path: path, Length: int64(len(b)), SHA256: firmware.Sum(b), Counter: m.Counter}
}

// Channels says which releases of Product are not in channel stable: version -> channel.
func (s *Site) Channels(of map[string]any) {
	signed := &s.Repo.Targets[Product].Signed
	signed.UnrecognizedFields = map[string]any{}
	if len(of) > 0 {
		signed.UnrecognizedFields[firmware.ChannelsMember] = of
	}
	s.Publish()
}

// Spoil lets f change what the server sends under a name such as "blobs/…"; nil ends it.
func (s *Site) Spoil(f func(name string, body []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = f
}

// SpoilManifest lets f change the manifest of a version as the server sends it.
func (s *Site) SpoilManifest(version string, f func([]byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	product, file, _ := strings.Cut(s.releases[version].Path, "/")
	name := fmt.Sprintf("targets/%s/%v.%s", product, s.releases[version].SHA256, file)
	r, err := s.Repo.Open(context.Background(), name, 0, -1)
	check(err)
	b, err := io.ReadAll(r)
	check(err)
	f(b)
	s.Repo.Serve(name, b)
}

// Direct directs a device to a version and returns the update's name. edit may change the
// direction before it is signed. An empty version asks for nothing.
func (s *Site) Direct(id, version string, edit func(*direction.Direction)) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	d.version++
	w := direction.Direction{
		Tenant: Tenant, Device: id, Hardware: Hardware, Version: d.version,
		Issued: time.Unix(0, 0).UTC(), Expires: s.expires,
	}
	if version != "" {
		t := s.releases[version]
		w.Update, w.Target = uuid.NewString(), &t
	}
	if edit != nil {
		edit(&w)
	}
	raw, err := direction.Sign(w, signer{s.Director.Keys[metadata.TARGETS][0]})
	check(err)
	d.raw = raw
	return w.Update
}

// Certificates makes the certificates of devices from now on last for life, of which two
// hours have passed when they are made; 0 for long. With busy none is renewed.
func (s *Site) Certificates(life time.Duration, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.busy = life, busy
}

// Certificate is the one that a device used last.
func (s *Site) Certificate(id string) *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[id].cert
}

// Events are the events of a device as they came, each once.
func (s *Site) Events(id string) []wire.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wire.Event(nil), s.devices[id].order...)
}

// Reported is what the device said last of itself.
func (s *Site) Reported(id string) wire.Reported {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[id].reported
}

// Reports counts how often the device said how it is.
func (s *Site) Reports(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[id].reports
}

// Requests counts what the device has asked for, directions and reports.
func (s *Site) Requests(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[id].requests
}

// Devices are the ids of all that have enrolled.
func (s *Site) Devices() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.devices {
		ids = append(ids, id)
	}
	return ids
}

// WriteCA writes the authority of the server's certificate to a file.
func (s *Site) WriteCA(path string) {
	check(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}), 0o600))
}

// WriteRoot writes the image repository's first root to a file.
func (s *Site) WriteRoot(path string) {
	check(os.WriteFile(path, s.Repo.Version(metadata.ROOT, 1), 0o600))
}

// WriteFolder writes the repository as a folder.
func (s *Site) WriteFolder(dir string) {
	names := []string{"metadata/timestamp.json"}
	for _, role := range []string{metadata.ROOT, metadata.SNAPSHOT, metadata.TARGETS, Product} {
		newest, _ := s.Repo.Newest(role)
		for v := int64(1); v <= newest; v++ {
			names = append(names, fmt.Sprintf("metadata/%d.%s.json", v, role))
		}
	}
	s.mu.Lock()
	for _, t := range s.releases {
		product, file, _ := strings.Cut(t.Path, "/")
		names = append(names, fmt.Sprintf("targets/%s/%v.%s", product, t.SHA256, file))
	}
	for name, b := range s.blobs {
		writeFile(filepath.Join(dir, name), b)
	}
	s.mu.Unlock()
	for _, name := range names {
		r, err := s.Repo.Open(context.Background(), name, 0, -1)
		if err != nil {
			continue // a version that was never published
		}
		b, err := io.ReadAll(r)
		check(err)
		writeFile(filepath.Join(dir, name), b)
	}
}

func writeFile(path string, b []byte) {
	check(os.MkdirAll(filepath.Dir(path), 0o700))
	check(os.WriteFile(path, b, 0o600))
}

// start makes the authority and the server's certificate, and listens.
func (s *Site) start() {
	s.key = newKey()
	s.cert = s.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "agenttest"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, s.key.Public())
	server := newKey()
	leaf := s.issue(&x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, server.Public())
	pool := x509.NewCertPool()
	pool.AddCert(s.cert)
	s.Server = httptest.NewUnstartedServer(s.handler())
	s.Server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: server}},
		ClientCAs:    pool, ClientAuth: tls.VerifyClientCertIfGiven, NextProtos: []string{"http/1.1", wire.ALPN},
	}
	s.Server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){wire.ALPN: s.mqttConn}
	s.Server.Config.ErrorLog = quiet()
	s.Server.StartTLS()
}

// issue signs a certificate. The authority's own is signed by itself.
func (s *Site) issue(c *x509.Certificate, key any) *x509.Certificate { return s.issueFor(c, key, 0) }

func (s *Site) issueFor(c *x509.Certificate, key any, life time.Duration) *x509.Certificate {
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), s.expires.AddDate(20, 0, 0)
	if life > 0 {
		c.NotAfter = c.NotBefore.Add(life)
	}
	parent := s.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, s.key)
	check(err)
	out, err := x509.ParseCertificate(der)
	check(err)
	return out
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("agenttest: %v", err))
	}
}

// deviceURI names a device in its certificate.
func deviceURI(id string) []*url.URL {
	u, err := url.Parse(wire.DeviceURI(Tenant, id))
	check(err)
	return []*url.URL{u}
}
