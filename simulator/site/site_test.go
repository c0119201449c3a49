package site_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/tufrepo/client"
)

func TestMain(m *testing.M) {
	site.Child()
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made is a site with releases 1.0.0 and 1.1.0.
func made(t *testing.T) *site.Site {
	s, err := site.Make(t.Context(), site.Options{Dir: t.TempDir(), Product: "base-unit", Hardware: []string{"bu-100"}})
	must(t, err)
	for i, version := range []string{"1.0.0", "1.1.0"} {
		img, err := s.MakeImage(site.Image{Size: 1 << 20, Used: 0.5, Changed: 0.1, Number: i})
		must(t, err)
		must(t, s.Publish(t.Context(), site.Release{Version: version, Image: img, Patches: 1}))
	}
	return s
}

// TestServiceComesBackAtItsAddress: killed, the service has the tenant still, and listens where it did.
func TestServiceComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	s := made(t)
	must(t, s.Start(t.Context()))
	must(t, s.Admit(t.Context(), 3))
	url := s.URL()
	must(t, s.Kill())
	if err := s.Direct(t.Context(), "1.1.0"); err == nil {
		t.Error("a service that was killed answers")
	}
	must(t, s.Start(t.Context()))
	if s.URL() != url {
		t.Errorf("it is at %s, was at %s", s.URL(), url)
	}
	id, err := s.Rollout(t.Context(), "1.1.0", json.RawMessage(`{"schema":1,"phases":[{"name":"all","percent":100}]}`))
	must(t, err)
	if r, err := s.RolloutState(t.Context(), id); err != nil || r.Version != "1.1.0" {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, s.Stop())
}

// TestForgedTimestamp: a device that has seen a thief's timestamp refuses the genuine one, and comes back with a new key.
func TestForgedTimestamp(t *testing.T) {
	t.Parallel()
	s := made(t)
	root, err := os.ReadFile(s.Root())
	must(t, err)
	dir := t.TempDir()
	refresh := func() error {
		folder, err := os.OpenRoot(s.Dir() + "/repo")
		must(t, err)
		defer folder.Close()
		c, err := client.Open(client.Config{Dir: dir, Root: root, Source: client.FSSource(folder.FS())})
		must(t, err)
		defer c.Close()
		return c.Refresh(context.WithoutCancel(t.Context()))
	}
	must(t, refresh())
	must(t, s.Forge())
	if err := refresh(); err == nil {
		t.Error("a device took the thief's word")
	}
	must(t, s.Restore())
	must(t, s.RotateRoot(t.Context(), true))
	if err := refresh(); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	must(t, s.RotateRoot(t.Context(), true))
	must(t, s.RotateRoot(t.Context(), false))
	must(t, refresh())
}
