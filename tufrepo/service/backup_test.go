package service_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *site) backup() []byte {
	s.t.Helper()
	var b bytes.Buffer
	_, err := s.api.Download(context.Background(), "/backup", &b)
	must(s.t, err)
	return b.Bytes()
}

func (s *site) restore(backup []byte, change func(*service.RestoreOptions)) (service.Restored, error) {
	o := service.RestoreOptions{Repo: s.repo, From: bytes.NewReader(backup), Clock: time.Now}
	if change != nil {
		change(&o)
	}
	return service.Restore(context.Background(), o)
}

func TestBackupRunsAgainElsewhere(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 5)
	u := s.enrolled(token, "s1")
	backup := s.backup()
	must(t, s.stop())

	there := &site{t: t, repo: newRepo(t)}
	must(t, os.RemoveAll(filepath.Join(there.repo, "state/keys")))
	if _, err := there.restore(backup, nil); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Fatalf("without the key file: %v", err)
	}
	key, err := os.ReadFile(service.DefaultKeyFile(s.repo))
	must(t, err)
	must(t, os.WriteFile(service.DefaultKeyFile(there.repo), key, 0o600))
	out, err := there.restore(backup, nil)
	must(t, err)
	if out.Aside != "" {
		t.Errorf("%+v", out)
	}
	there.start()
	u.s = there
	if r := u.do("GET", wire.PathDirection, nil); r.status != http.StatusOK {
		t.Errorf("a device that knows the service: %d %s", r.status, r.body)
	}
	order := api.Order{Tenant: "acme", Product: repotest.Product, Version: "1.1.0", Devices: []string{u.resp.Device}}
	err = there.api.Do(context.Background(), "POST", "/directions", order, &api.Outcomes{})
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != wire.CodeUnavailable || !strings.Contains(err.Error(), "accept-older") {
		t.Fatalf("directing after a restore: %v", err)
	}
	there.ask("POST", "/accept-older", nil, &api.Generation{})
	there.direct("acme", "1.1.0", u)
	there.enrolled(token, "s2")
	if _, err := os.Stat(filepath.Join(there.repo, "state/keys/timestamp.key")); err != nil {
		t.Errorf("the repository's online keys: %v", err)
	}
	must(t, there.stop())
	there.start() // accepted once is accepted
	there.direct("acme", "1.0.0", u)
}

func TestBackupHasNoSecretInTheClear(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 5)
	z, err := zstd.NewReader(bytes.NewReader(s.backup()))
	must(t, err)
	defer z.Close()
	plain, err := io.ReadAll(z)
	must(t, err)
	for _, secret := range []string{"BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY", s.api.Token, token[strings.IndexByte(token, '.')+1:]} {
		if bytes.Contains(plain, []byte(secret)) {
			t.Errorf("it holds %.20q", secret)
		}
	}
	left, err := filepath.Glob(filepath.Join(service.StateDir(s.repo), ".tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestRestoreTwiceAtOnce: what the first replaced is not in the way of the second.
func TestRestoreTwiceAtOnce(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 5)
	backup, now := s.backup(), time.Now()
	must(t, s.stop())
	for range 2 {
		_, err := s.restore(backup, func(o *service.RestoreOptions) { o.Replace, o.Clock = true, func() time.Time { return now } })
		must(t, err)
	}
	if left, _ := filepath.Glob(service.StateDir(s.repo) + ".replaced-*"); len(left) != 2 {
		t.Errorf("replaced: %v, want two", left)
	}
}

func TestRestoreRefusals(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 5)
	backup := s.backup()
	if _, err := s.restore(backup, func(o *service.RestoreOptions) { o.Replace = true }); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "stop the service") {
		t.Errorf("onto a running service: %v", err)
	}
	must(t, s.stop())
	if _, err := s.restore(backup, nil); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("onto another one: %v", err)
	}
	before := tree(t, service.StateDir(s.repo))
	wrong := filepath.Join(t.TempDir(), "wrong.key")
	_, err := director.MakeSealKey(wrong)
	must(t, err)
	replace := func(o *service.RestoreOptions) { o.Replace = true }
	if _, err := s.restore(backup, func(o *service.RestoreOptions) { replace(o); o.KeyFile = wrong }); err == nil || !strings.Contains(err.Error(), "--key-file") {
		t.Errorf("with the wrong key: %v", err)
	}
	unpacked, err := zstd.NewReader(nil)
	must(t, err)
	defer unpacked.Close()
	content, err := unpacked.DecodeAll(backup, nil)
	must(t, err)
	for n := 0; n < len(backup); n += 1 + len(backup)/40 {
		if _, err := s.restore(backup[:n], replace); err == nil {
			t.Errorf("cut off after %d of %d bytes", n, len(backup))
		}
	}
	for n := 0; n < len(backup); n += 1 + len(backup)/40 {
		b := bytes.Clone(backup)
		b[n] ^= 0x10
		if same, err := unpacked.DecodeAll(b, nil); err == nil && bytes.Equal(same, content) {
			continue // the same bytes in another code
		}
		if out, err := s.restore(b, replace); err == nil {
			t.Errorf("changed at %d: %+v", n, out)
		}
	}
	if after := tree(t, service.StateDir(s.repo)); after != before {
		t.Errorf("a refusal has changed the state:\n%s\nbefore:\n%s", after, before)
	}
	if left, _ := filepath.Glob(service.StateDir(s.repo) + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := s.restore(backup, func(o *service.RestoreOptions) { o.Repo, o.KeyFile = t.TempDir(), service.DefaultKeyFile(s.repo) }); err == nil || !strings.Contains(err.Error(), "fairlead-repo init") {
		t.Errorf("into no repository: %v", err)
	}

	out, err := s.restore(backup, replace)
	must(t, err)
	if _, err := os.Stat(filepath.Join(out.Aside, "fairlead.db")); err != nil {
		t.Errorf("what was there: %v", err)
	}
	s.start()
	if err := s.api.Do(context.Background(), "POST", "/accept-older", nil, &api.Generation{}); err != nil {
		t.Errorf("it is not seen that it is an older copy: %v", err)
	}
}

// tree is what lies in a folder, without what SQLite writes when it is opened.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, ".db-") {
			return err
		}
		b, err := os.ReadFile(path)
		if filepath.Base(path) == "lock" {
			b = nil
		}
		out.WriteString(path + " " + http.DetectContentType(b) + " " + string(sum(b)) + "\n")
		return err
	}))
	return out.String()
}

func sum(b []byte) []byte {
	h := 0
	for _, c := range b {
		h = h*31 + int(c)
	}
	return []byte(time.Duration(h).String())
}

func TestKeyFileIsNotMadeOverALostOne(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	must(t, s.stop())
	must(t, os.Rename(service.DefaultKeyFile(s.repo), service.DefaultKeyFile(s.repo)+".elsewhere"))
	_, err := service.New(context.Background(), s.config())
	if err == nil || !strings.Contains(err.Error(), "--key-file") || !strings.Contains(err.Error(), "A lost key file") {
		t.Errorf("lost: %v", err)
	}
	c := s.config()
	c.KeyFile = service.DefaultKeyFile(s.repo) + ".elsewhere"
	again, err := service.New(context.Background(), c)
	must(t, err)
	must(t, again.Close())
	c.KeyFile = filepath.Join(service.StateDir(s.repo), "x.key")
	if _, err := service.New(context.Background(), c); err == nil || !strings.Contains(err.Error(), "choose another place") {
		t.Errorf("beside what it seals: %v", err)
	}
}

func TestPurgeOverTheOperatorPort(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	m := u.mqtt("mqtts")
	m.next()
	if err := s.api.Do(context.Background(), "POST", "/tenants/acme/purge", api.Purge{Confirm: "acm"}, &api.Done{}); err == nil || !strings.Contains(err.Error(), "--yes-delete acme") {
		t.Errorf("without a word: %v", err)
	}
	s.ask("POST", "/tenants/acme/purge", api.Purge{Confirm: "acme"}, &api.Done{})
	select {
	case <-m.down:
	case <-time.After(10 * time.Second):
		t.Error("its device stays connected")
	}
	var log api.AuditEntries
	s.ask("GET", "/audit", nil, &log)
	if !slices.ContainsFunc(log.Entries, func(e api.AuditEntry) bool {
		return e.Action == string(audit.TenantPurge) && e.Outcome == "ok" && e.Object == "tenant/acme"
	}) {
		t.Errorf("the service's log does not tell of it: %+v", log.Entries)
	}
	var all api.Tenants
	s.ask("GET", "/tenants", nil, &all)
	if len(all.Tenants) != 0 {
		t.Errorf("%+v", all)
	}
	if err := s.api.Do(context.Background(), "POST", "/tenants/acme/purge", api.Purge{Confirm: "acme"}, &api.Done{}); err == nil {
		t.Error("purged twice")
	}
}
