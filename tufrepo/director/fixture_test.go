package director_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/directortest"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// postgres runs for tests that ask for it.
var postgres storetest.Server

type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	postgres.Stop()
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

var ctx = context.Background()

// releases is an image repository with what a test puts there.
type releases map[string]director.Release

func (r releases) Release(_ context.Context, product, version string) (director.Release, error) {
	rel, ok := r[product+"/"+version]
	if !ok {
		return rel, &director.Error{Code: wire.CodeNotFound, Message: "no such release"}
	}
	return rel, nil
}

func release(product, version string, counter int64, hardware ...string) director.Release {
	return director.Release{
		Target:   direction.Target{Path: firmware.TargetPath(product, version), Length: 800, SHA256: firmware.Sum([]byte(version)), Counter: counter},
		Manifest: &firmware.Manifest{Product: product, Version: version, Counter: counter, Hardware: hardware},
	}
}

// site is a director with a clock that tests turn.
type site struct {
	*director.Director
	t        testing.TB
	dir      string
	ceremony map[string]*directortest.Ceremony

	mu   sync.Mutex
	now  time.Time
	told map[string]int
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC), told: map[string]int{}, ceremony: map[string]*directortest.Ceremony{}}
	s.start()
	return s
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// start starts the director, or restarts it on the same folder.
func (s *site) start() {
	s.t.Helper()
	if s.Director != nil {
		must(s.t, s.Store.Close())
	}
	db, err := store.Open(ctx, filepath.Join(s.dir, "fairlead.db"), store.Options{})
	must(s.t, err)
	s.t.Cleanup(func() { db.Close() })
	ca, err := pki.Open(filepath.Join(s.dir, "ca"), s.clock)
	must(s.t, err)
	s.Director, err = director.New(ctx, director.Config{Store: db, CA: ca, Keys: filepath.Join(s.dir, "keys"), Clock: s.clock,
		Seal: s.sealKey(), SeenFile: filepath.Join(s.dir, "seen"),
		Releases: releases{
			"base/1.0.0":  release("base", "1.0.0", 1, "base-unit-1"),
			"base/1.1.0":  release("base", "1.1.0", 2, "base-unit-1"),
			"base/1.0.1":  release("base", "1.0.1", 3, "base-unit-1"), // 1.0.0 again
			"camera/1.0":  release("camera", "1.0", 1, "camera-1"),
			"base/1.2.0b": release("base", "1.2.0b", 3, "base-unit-2"),
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(s.t, err)
	s.OnDirection(func(device string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told[device]++
	})
}

// sealKey is the key file, made at the first start.
func (s *site) sealKey() *director.SealKey {
	s.t.Helper()
	path := filepath.Join(s.dir, "seal.key")
	k, err := director.LoadSealKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = director.MakeSealKey(path)
	}
	must(s.t, err)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code is the wire code of an error, or "".
func code(err error) string {
	var e *director.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// onlineKey asks for a tenant's online key in the form of metadata.
func (s *site) onlineKey(tenant string, rotate bool) *metadata.Key {
	s.t.Helper()
	k, err := s.MakeKey(ctx, tenant, rotate)
	must(s.t, err)
	block, _ := pem.Decode([]byte(k.Public))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(s.t, err)
	tuf, err := keyfile.TUFKey(pub)
	must(s.t, err)
	return tuf
}

// tenant makes a tenant and a claim token for it.
func (s *site) tenant(name string, uses int64) (token string) {
	s.t.Helper()
	s.ceremony[name] = directortest.New(s.t, s.clock)
	_, err := s.AddTenant(ctx, name, [][]byte{s.ceremony[name].Root(1, s.onlineKey(name, false))})
	must(s.t, err)
	token, _, err = s.NewClaim(ctx, name, uses, 24*time.Hour)
	must(s.t, err)
	return token
}

// device is a device that enrols.
type device struct {
	wire.EnrollRequest
	key crypto.Signer
}

func newDevice(t testing.TB, token, serial string) device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	return device{key: key, EnrollRequest: wire.EnrollRequest{Claim: token, Serial: serial, MAC: "", Product: "base", Hardware: "base-unit-1",
		CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}}
}

// enrolled is a device that has enrolled.
func (s *site) enrolled(token, serial string) director.Identity {
	s.t.Helper()
	out, err := s.Enroll(ctx, newDevice(s.t, token, serial).EnrollRequest, nil)
	must(s.t, err)
	return director.Identity{Tenant: out.Tenant, Device: out.Device}
}

// direction is the device's verified direction.
func (s *site) direction(id director.Identity) direction.Direction {
	s.t.Helper()
	raw, _, err := s.Direction(ctx, id.Device)
	must(s.t, err)
	rootRaw, err := s.Root(ctx, id.Tenant, 0)
	must(s.t, err)
	root, err := bundle.Parse[metadata.RootType](rootRaw)
	must(s.t, err)
	d, err := direction.Verify(raw, root, s.clock())
	must(s.t, err)
	if d.Device != id.Device || d.Tenant != id.Tenant {
		s.t.Fatalf("direction for %s %s instead of %v", d.Tenant, d.Device, id)
	}
	return d
}

func (s *site) order(o director.Order) []director.Outcome {
	s.t.Helper()
	out, err := s.Direct(ctx, o)
	must(s.t, err)
	return out
}

func (s *site) storedUpdate(id string) (u store.Update) {
	s.t.Helper()
	must(s.t, s.Store.View(ctx, func(tx *store.Tx) (err error) {
		u, err = tx.Update(id)
		return err
	}))
	return u
}

func event(update string, seq int64, state wire.State) wire.Event {
	return wire.Event{Schema: 1, Epoch: "e1", Seq: seq, Time: time.Unix(1, 0).UTC(), Update: update, State: state,
		Product: "base", From: "1.0.0", To: "1.1.0", Fetched: seq * 100, Millis: seq * 1000}
}

func (s *site) say(id director.Identity, leaf string, payload any) error {
	s.t.Helper()
	var b []byte
	var err error
	switch p := payload.(type) {
	case wire.Event:
		b, err = wire.Encode(p)
	case wire.Reported:
		b, err = wire.Encode(p)
	case wire.Progress:
		b, err = wire.Encode(p)
	case string:
		b = []byte(p)
	default:
		err = fmt.Errorf("no %T", payload)
	}
	must(s.t, err)
	return s.Message(ctx, id, leaf, b)
}
