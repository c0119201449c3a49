package director_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// newDirector starts another director on the site's folder, as Config says.
func (s *site) newDirector(change func(*director.Config)) (*director.Director, error) {
	c := s.Config
	change(&c)
	return director.New(ctx, c)
}

func TestOnlineKeysLieEncrypted(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	raw, err := os.ReadFile(filepath.Join(s.Keys, "acme.1.key"))
	must(t, err)
	if bytes.Contains(raw, []byte("BEGIN PRIVATE KEY")) || !bytes.HasPrefix(raw, []byte("-----BEGIN FAIRLEAD SEALED KEY-----\n")) {
		t.Errorf("on the disk: %.60s", raw)
	}
	for _, other := range []string{"globex.1.key", "acme.2.key"} { // a copy under another name
		path := filepath.Join(s.Keys, other)
		must(t, os.WriteFile(path, raw, 0o600))
		if _, err := s.newDirector(func(*director.Config) {}); err == nil || !strings.Contains(err.Error(), "another's under its name") {
			t.Errorf("%s: %v", other, err)
		}
		must(t, os.Remove(path))
	}
}

func TestWrongAndDamagedKeyFiles(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	wrong, err := director.MakeSealKey(filepath.Join(s.dir, "wrong.key"))
	must(t, err)
	_, err = s.newDirector(func(c *director.Config) { c.Seal = wrong })
	if err == nil || !strings.Contains(err.Error(), "--key-file") || !strings.Contains(err.Error(), "A lost key file") || !strings.Contains(err.Error(), wrong.ID()) {
		t.Errorf("the wrong key: %v", err)
	}
	if _, err := director.MakeSealKey(filepath.Join(s.dir, "wrong.key")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made over another: %v", err)
	}
	if _, err := director.LoadSealKey(filepath.Join(s.dir, "none.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	for what, content := range map[string]string{"short": "0123", "long": strings.Repeat("x", 33), "empty": ""} {
		path := filepath.Join(t.TempDir(), "k")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		if _, err := director.LoadSealKey(path); err == nil || !strings.Contains(err.Error(), "instead of 32") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.Chmod(filepath.Join(s.dir, "seal.key"), 0o640))
	if _, err := director.LoadSealKey(filepath.Join(s.dir, "seal.key")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("others can read it: %v", err)
	}
}

func TestSealedBytes(t *testing.T) {
	k, err := director.MakeSealKey(filepath.Join(t.TempDir(), "k"))
	must(t, err)
	sealed, err := k.Seal(ctx, "a", []byte("secret"))
	must(t, err)
	if got, err := k.Open(ctx, "a", sealed); err != nil || string(got) != "secret" {
		t.Fatalf("%q %v", got, err)
	}
	again, err := k.Seal(ctx, "a", []byte("secret"))
	must(t, err)
	if bytes.Equal(sealed, again) {
		t.Error("the same bytes twice: the nonce repeats")
	}
	block, _ := pem.Decode(sealed)
	for i := range block.Bytes {
		b := bytes.Clone(block.Bytes)
		b[i] ^= 1
		if got, err := k.Open(ctx, "a", pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: b})); err == nil {
			t.Errorf("byte %d changed: %q", i, got)
		}
	}
	for n := range len(block.Bytes) {
		if _, err := k.Open(ctx, "a", pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:n]})); err == nil {
			t.Errorf("cut off at %d", n)
		}
	}
	if _, err := k.Seal(ctx, "a", make([]byte, director.MaxSecret+1)); err == nil {
		t.Error("too much was sealed")
	}
}

// Keys of an older folder lie in the clear. A crash leaves each as it was, or sealed.
func TestPlainKeysAreSealedInPlace(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 3)
	id := s.enrolled(token, "s1")
	first := s.direction(id)
	plain := unseal(t, s, "acme.1.key")
	must(t, os.WriteFile(filepath.Join(s.Keys, ".tmp-123"), []byte("half"), 0o600)) // a crash in the middle
	s.start()
	raw, err := os.ReadFile(filepath.Join(s.Keys, "acme.1.key"))
	must(t, err)
	if bytes.Contains(raw, []byte("PRIVATE KEY-----\nM")) || bytes.Equal(raw, plain) {
		t.Error("it is still in the clear")
	}
	if _, err := os.Stat(filepath.Join(s.Keys, ".tmp-123")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left: %v", err)
	}
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", Devices: []string{id.Device}})
	if d := s.direction(id); d.Version <= first.Version || d.Target == nil { // signed by the same key: direction verifies
		t.Errorf("after the migration: %+v", d)
	}

	unseal(t, s, "acme.1.key")
	_, err = s.newDirector(func(c *director.Config) { c.Seal = failing{c.Seal} })
	if err == nil {
		t.Fatal("a sealer that fails goes unnoticed")
	}
	if _, err := keyfile.Load(filepath.Join(s.Keys, "acme.1.key"), nil); err != nil {
		t.Errorf("the key in the clear is gone though nothing took its place: %v", err)
	}
}

// failing is a key management service that seals what it cannot open.
type failing struct{ director.Sealer }

func (f failing) Seal(c context.Context, name string, secret []byte) ([]byte, error) {
	sealed, err := f.Sealer.Seal(c, name, append([]byte("x"), secret...))
	return sealed, err
}

// unseal puts a key back in the clear, as an older version left it.
func unseal(t *testing.T, s *site, name string) []byte {
	t.Helper()
	path := filepath.Join(s.Keys, name)
	raw, err := os.ReadFile(path)
	must(t, err)
	plain, err := s.Seal.Open(ctx, name, raw)
	must(t, err)
	must(t, os.WriteFile(path, plain, 0o600))
	return plain
}

func TestOlderCopyDirectsNobodyUntilSomebodyHasLooked(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 9)
	id := s.enrolled(token, "s1")
	copied := filepath.Join(t.TempDir(), "copy.db")
	must(t, s.Store.BackupTo(ctx, copied))
	order := director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", Devices: []string{id.Device}}
	s.order(order)
	seen := s.direction(id).Version
	s.start() // the generation goes on

	must(t, s.Store.Close())
	for _, name := range []string{"fairlead.db", "fairlead.db-wal", "fairlead.db-shm"} {
		os.Remove(filepath.Join(s.dir, name)) // some are not there
	}
	must(t, os.Rename(copied, filepath.Join(s.dir, "fairlead.db")))
	s.Director = nil
	s.start()
	if s.Older() == nil {
		t.Fatal("the older copy goes unnoticed")
	}
	if _, err := s.Direct(ctx, order); code(err) != wire.CodeUnavailable || !strings.Contains(err.Error(), "accept-older") {
		t.Errorf("directing: %v", err)
	}
	if _, err := s.Enroll(ctx, newDevice(t, token, "s2").EnrollRequest, nil); code(err) != wire.CodeUnavailable {
		t.Errorf("enrolling: %v", err)
	}
	r := wire.Reported{Schema: 1, Time: s.clock(), BootID: "b", Agent: "1", Product: "base", Hardware: "base-unit-1", Version: "1.0.0", Counter: 1, Slot: "a", State: wire.Idle, Direction: seen}
	must(t, s.say(id, wire.LeafReported, r)) // reports are taken all the same
	s.start()
	if s.Older() == nil {
		t.Error("a restart is enough to be believed")
	}

	must(t, s.AcceptOlder(ctx))
	must(t, s.say(id, wire.LeafReported, r))
	if d := s.direction(id); d.Version <= seen {
		t.Errorf("direction %d, the device has accepted %d", d.Version, seen)
	}
	s.order(order)
	if err := s.AcceptOlder(ctx); code(err) != wire.CodeConflict {
		t.Errorf("accepted twice: %v", err)
	}
	s.start()
	if s.Older() != nil {
		t.Error("it is an older copy again after a restart")
	}
}

func TestDamagedGenerationFile(t *testing.T) {
	s := newSite(t)
	must(t, os.WriteFile(s.SeenFile, []byte("7x\n"), 0o600))
	if _, err := s.newDirector(func(*director.Config) {}); err == nil || !strings.Contains(err.Error(), "accept-older") {
		t.Errorf("%v", err)
	}
}

func TestRetention(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	if got, err := s.Settings(ctx, "acme"); err != nil || got != store.DefaultSettings() {
		t.Fatalf("%+v %v", got, err)
	}
	for what, change := range map[string]func(*store.Settings){
		"device": func(x *store.Settings) { x.DeviceDays = 0 }, "audit": func(x *store.Settings) { x.AuditDays = 29 },
	} {
		if _, err := s.ChangeSettings(ctx, "acme", change); code(err) != wire.CodeBadRequest || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := s.ChangeSettings(ctx, "acme", func(x *store.Settings) { x.DeviceDays, x.AuditDays = 10, 30 })
	must(t, err)
	for i, version := range []string{"1.1.0", "1.0.0"} {
		out := s.order(director.Order{Tenant: "acme", Product: "base", Version: version, Devices: []string{id.Device}, Force: true})
		must(t, s.say(id, wire.LeafEvent, event(out[0].Update, int64(i+1), wire.Failed)))
	}
	must(t, s.Retain(ctx))
	if n := s.count("events"); n != 2 {
		t.Fatalf("%d events, nothing is old yet", n)
	}
	s.pass(11 * 24 * time.Hour)
	must(t, s.Retain(ctx))
	if n := s.count("events"); n != 0 {
		t.Errorf("%d events stay", n)
	}
	if n := s.count("updates"); n != 1 {
		t.Errorf("%d updates stay, want the newest", n)
	}
	if !s.told1("acme", audit.RetentionPurge) {
		t.Error("the audit log does not say so")
	}
}

// count is how many events or updates there are.
func (s *site) count(what string) (n int) {
	s.t.Helper()
	must(s.t, s.Store.View(ctx, func(tx *store.Tx) error {
		if what == "updates" {
			all, err := tx.Updates(store.UpdateQuery{Tenant: "acme"})
			n = len(all)
			return err
		}
		devices, err := tx.Devices(store.DeviceQuery{Tenant: "acme"})
		for _, d := range devices {
			events, err := tx.Events(d.ID, 100)
			if err != nil {
				return err
			}
			n += len(events)
		}
		return err
	}))
	return n
}

// told1 says whether the log of a tenant, or of the service, tells of an action.
func (s *site) told1(tenant string, a audit.Action) bool {
	s.t.Helper()
	var all []store.AuditEntry
	must(s.t, s.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Audit(store.AuditQuery{Tenant: tenant, Action: string(a)})
		return err
	}))
	return len(all) > 0
}

func TestPurgeTenant(t *testing.T) {
	s := newSite(t)
	token, other := s.tenant("acme", 9), s.tenant("acme2", 9)
	dev := newDevice(t, token, "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	stays := s.enrolled(other, "s1")
	before, err := s.Withdrawals(ctx)
	must(t, err)
	must(t, s.Purge(ctx, "acme"))
	if after, _ := s.Withdrawals(ctx); after == before {
		t.Error("other directors do not hear of it")
	}
	if _, err := s.Admit(ctx, parse(t, out.Certificate)); code(err) != wire.CodeUnauthorized {
		t.Errorf("its device: %v", err)
	}
	if _, err := s.Enroll(ctx, dev.EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
		t.Errorf("its token: %v", err)
	}
	keys, _ := filepath.Glob(filepath.Join(s.Keys, "*.key"))
	if len(keys) != 1 || filepath.Base(keys[0]) != "acme2.1.key" {
		t.Errorf("keys: %v", keys)
	}
	if err := s.Purge(ctx, "acme"); code(err) != wire.CodeNotFound {
		t.Errorf("purge twice: %v", err)
	}
	s.order(director.Order{Tenant: "acme2", Product: "base", Version: "1.1.0", Devices: []string{stays.Device}})
	s.enrolled(s.tenant("acme", 1), "s1") // the name is free
}

func TestNewWantsEverything(t *testing.T) {
	s := newSite(t)
	if _, err := s.newDirector(func(c *director.Config) { c.Seal = nil }); err == nil {
		t.Error("no sealer")
	}
}
