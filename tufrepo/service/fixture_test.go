package service_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/directortest"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a service on a published repository.
type site struct {
	t    testing.TB
	repo string
	*service.Service
	api  api.Client
	stop func() error
}

// template is a repository that every test copies.
var template struct {
	once sync.Once
	dir  string
}

// newRepo is a repository with releases 1.0.0 and 1.1.0 of repotest.Product.
func newRepo(t testing.TB) string {
	t.Helper()
	template.once.Do(func() { template.dir = makeRepo(t) })
	dir := filepath.Join(t.TempDir(), "repo")
	must(t, os.CopyFS(dir, os.DirFS(template.dir)))
	keys, err := filepath.Glob(filepath.Join(dir, "state/keys/*.key"))
	must(t, err)
	for _, key := range keys {
		must(t, os.Chmod(key, 0o600))
	}
	return dir
}

func makeRepo(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairlead-service-test-")
	must(t, err)
	dir = filepath.Join(dir, "repo")
	repo, err := tufrepo.Init(dir, tufrepo.InitOptions{})
	must(t, err)
	people := repotest.NewPeople(t, onlineKey(t, dir, "timestamp"), onlineKey(t, dir, "snapshot"))
	var role *metadata.Metadata[metadata.TargetsType]
	for i, version := range []string{"1.0.0", "1.1.0"} {
		b := t.TempDir()
		if i == 0 {
			people.Genesis(t, b, time.Now(), repotest.Product)
		}
		role = people.Release(t, b, time.Now(), role, repotest.Product, version, int64(i+1), repotest.Image(version, 100_000))
		_, err := repo.Publish(context.Background(), b, tufrepo.PublishOptions{})
		must(t, err)
	}
	return dir
}

func onlineKey(t testing.TB, dir, name string) crypto.Signer {
	t.Helper()
	key, err := keyfile.Load(filepath.Join(dir, "state/keys", name+".key"), nil)
	must(t, err)
	return key
}

func newSite(t testing.TB, change ...func(*service.Config)) *site {
	t.Helper()
	s := &site{t: t, repo: newRepo(t)}
	s.start(change...)
	return s
}

func (s *site) config() service.Config {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	repo, err := tufrepo.Open(s.repo, tufrepo.Options{Log: log})
	must(s.t, err)
	return service.Config{Repo: repo, Listen: "127.0.0.1:0", Operator: "127.0.0.1:0", Clock: time.Now, Log: log,
		Limits: service.Limits{Drain: 10 * time.Millisecond}}
}

// start runs the service until the test ends or stop is called.
func (s *site) start(change ...func(*service.Config)) {
	s.t.Helper()
	c := s.config()
	for _, f := range change {
		f(&c)
	}
	var err error
	s.Service, err = service.New(context.Background(), c)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	s.t.Cleanup(func() { must(s.t, s.stop()) })
	token, err := os.ReadFile(filepath.Join(service.StateDir(s.repo), service.TokenFile))
	must(s.t, err)
	s.api = api.Client{URL: "http://" + s.OperatorAddr().String(), Token: strings.TrimSpace(string(token))}
}

func (s *site) ask(method, path string, in, out any) {
	s.t.Helper()
	must(s.t, s.api.Do(context.Background(), method, path, in, out))
}

// tenant makes a tenant and a claim token.
func (s *site) tenant(name string, uses int64) string {
	s.t.Helper()
	var key api.Key
	s.ask("POST", "/tenants/"+name+"/key", api.NewKey{}, &key)
	block, _ := pem.Decode([]byte(key.Public))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(s.t, err)
	tuf, err := keyfile.TUFKey(pub)
	must(s.t, err)
	root := directortest.New(s.t, time.Now).Root(1, tuf)
	s.ask("POST", "/tenants", api.NewTenant{Name: name, Roots: []string{string(root)}}, &api.Tenant{})
	var claim api.Claim
	s.ask("POST", "/claim-tokens", api.NewClaim{Tenant: name, Uses: uses, Seconds: 3600}, &claim)
	return claim.Token
}

// unit is a device of the fleet.
type unit struct {
	s    *site
	key  crypto.Signer
	resp wire.EnrollResponse
	cert *tls.Certificate // nil: has none
	pass string           // access key, of a custom device
}

func (s *site) stranger() *unit {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	return &unit{s: s, key: key}
}

func (u *unit) enrollRequest(token, serial string) wire.EnrollRequest {
	u.s.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, u.key)
	must(u.s.t, err)
	return wire.EnrollRequest{Claim: token, Product: repotest.Product, Hardware: repotest.Hardware, Serial: serial, Agent: "1.0.0",
		CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}
}

// enrolled is a device that has its certificate.
func (s *site) enrolled(token, serial string) *unit {
	s.t.Helper()
	u := s.stranger()
	resp := u.do("POST", wire.PathEnroll, u.enrollRequest(token, serial))
	if resp.status != http.StatusOK {
		s.t.Fatalf("enrol: %d %s", resp.status, resp.body)
	}
	must(s.t, json.Unmarshal(resp.body, &u.resp))
	u.setCert(u.resp.Certificate)
	return u
}

func (u *unit) setCert(text string) {
	block, _ := pem.Decode([]byte(text))
	u.cert = &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: u.key}
}

// tls is how the device connects.
func (u *unit) tls(protocols ...string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(u.s.ServerCA())
	c := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: protocols}
	if u.cert != nil {
		c.Certificates = []tls.Certificate{*u.cert}
	}
	return c
}

type response struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// code is the code of the error in a response.
func (r response) code() string {
	e, err := wire.DecodeError(r.body)
	if err != nil {
		return "no error body: " + string(r.body)
	}
	return e.Error.Code
}

// do makes one request over a connection of its own.
func (u *unit) do(method, path string, body any, header ...string) response {
	u.s.t.Helper()
	tr := &http.Transport{TLSClientConfig: u.tls()}
	defer tr.CloseIdleConnections()
	b, isBytes := body.([]byte)
	if !isBytes && body != nil {
		var err error
		b, err = json.Marshal(body)
		must(u.s.t, err)
	}
	req, err := http.NewRequest(method, "https://"+u.s.Addr().String()+path, bytes.NewReader(b))
	must(u.s.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return response{err: err}
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, out, err}
}

// verified is a direction that the device believes.
func (u *unit) verified(raw []byte) direction.Direction {
	u.s.t.Helper()
	root, err := bundle.Parse[metadata.RootType]([]byte(u.resp.DirectorRoot))
	must(u.s.t, err)
	d, err := direction.Verify(raw, root, time.Now())
	must(u.s.t, err)
	if d.Device != u.resp.Device || d.Tenant != u.resp.Tenant {
		u.s.t.Fatalf("a direction for %s of %s", d.Device, d.Tenant)
	}
	return d
}

// direct orders a release and returns the update.
func (s *site) direct(tenant, version string, units ...*unit) string {
	s.t.Helper()
	o := api.Order{Tenant: tenant, Product: repotest.Product, Version: version}
	for _, u := range units {
		o.Devices = append(o.Devices, u.resp.Device)
	}
	var out api.Outcomes
	s.ask("POST", "/directions", o, &out)
	for _, one := range out.Outcomes {
		if one.Refused != "" {
			s.t.Fatalf("directing: %+v", one)
		}
	}
	return out.Outcomes[0].Update
}

func event(update string, seq int64, state wire.State) wire.Event {
	return wire.Event{Schema: 1, Epoch: "e1", Seq: seq, Time: time.Now().UTC(), Update: update, State: state,
		Product: repotest.Product, From: "1.0.0", To: "1.1.0", Fetched: 1000, Millis: 2000}
}
