package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// image is a different one for every seed.
func image(seed byte) []byte {
	b := make([]byte, 150_000)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func newSite(t testing.TB) *agenttest.Site {
	site := agenttest.New(time.Now().Add(48 * time.Hour))
	t.Cleanup(site.Close)
	return site
}

// unit is a device: two slots that are files, a bootloader that is one, and the agents that are started on it.
type unit struct {
	t    testing.TB
	site *agenttest.Site
	dir  string
	cfg  agent.Config
	boot *boot.File
	id   string
	// meddle may change the options of the next agents.
	meddle func(o *agent.Options)
	boots  int
}

func newUnit(t testing.TB, site *agenttest.Site) *unit {
	t.Helper()
	u := &unit{t: t, site: site, dir: t.TempDir()}
	site.WriteCA(u.path("ca.pem"))
	site.WriteRoot(u.path("root.json"))
	u.cfg = agent.Config{
		Service: site.Server.URL, CA: u.path("ca.pem"), Root: u.path("root.json"), State: u.path("state"), Proxy: "none", Transports: []string{},
		Product: agenttest.Product, Hardware: agenttest.Hardware, Serial: "sn-1", Factory: agent.Factory{Version: "1.0.0", Counter: 1},
		Slots: agent.SlotPaths{A: u.path("slot-a"), B: u.path("slot-b")}, SlotSize: 4 << 20,
		Bootloader: agent.BootConfig{Type: "file", Dir: u.path("boot")}, Health: agent.HealthConfig{Deadline: agent.Duration(2 * time.Second)},
	}
	must(t, os.WriteFile(u.cfg.Slots.A, image(1), 0o600))
	must(t, os.WriteFile(u.cfg.Slots.B, nil, 0o600)) // below /dev, where scratch may lie, none would be made
	u.power()
	return u
}

func (u *unit) path(name string) string { return filepath.Join(u.dir, name) }

// power plays the bootloader, after a reboot or a power cut.
func (u *unit) power() boot.Slot {
	u.t.Helper()
	f, err := boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{})
	must(u.t, err)
	slot, err := f.Boot()
	must(u.t, err)
	u.boot = f
	u.boots++
	return slot
}

func (u *unit) agent() *agent.Agent {
	u.t.Helper()
	o := agent.Options{
		Boot: u.boot, Version: "1.0.0", BootID: fmt.Sprint("boot-", u.boots), Look: 2 * time.Millisecond,
		Retry:  agent.Retry{Min: time.Millisecond, Max: 20 * time.Millisecond, Attempts: 4},
		Limits: install.Limits{Attempts: 2, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond},
		Link: link.Timing{Start: time.Millisecond, FallbackPoll: 10 * time.Millisecond, BackoffMin: time.Millisecond,
			BackoffMax: 10 * time.Millisecond, Stop: 2 * time.Second},
	}
	if u.meddle != nil {
		u.meddle(&o)
	}
	a, err := agent.New(u.cfg, o)
	must(u.t, err)
	return a
}

func (u *unit) enroll() {
	u.t.Helper()
	id, err := u.agent().Enroll(context.Background(), agenttest.Claim)
	must(u.t, err)
	u.id = id.Device
}

// live lets the agent run for one boot: until it wants a reboot (true), or until done.
func (u *unit) live(done func() bool) (reboot bool) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	a := u.agent()
	go func() { ended <- a.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, agent.ErrReboot) {
				u.t.Fatalf("the agent ended: %v; %v", err, u.events())
			}
			return true
		case <-time.After(5 * time.Millisecond):
			if done() {
				cancel()
				<-ended
				return false
			}
		}
	}
}

// untilEnd lives, boot after boot, until an update has ended, and returns how.
func (u *unit) untilEnd(update string) wire.Event {
	u.t.Helper()
	var end wire.Event
	ended := func() bool {
		for _, e := range u.site.Events(u.id) {
			if e.Update == update && e.State.Final() {
				end = e
				return true
			}
		}
		return false
	}
	for u.live(ended) {
		if u.power(); u.boots > 12 {
			u.t.Fatalf("%d boots and no end: %v", u.boots, u.events())
		}
	}
	return end
}

func (u *unit) events() (words []string) {
	for _, e := range u.site.Events(u.id) {
		words = append(words, string(e.State)+" "+e.Reason)
	}
	return words
}

// wantRunning: a slot runs, is committed, and holds an image.
func (u *unit) wantRunning(slot boot.Slot, img []byte) {
	u.t.Helper()
	s, err := u.boot.State()
	must(u.t, err)
	b, err := os.ReadFile(u.cfg.Slots.Path(slot))
	must(u.t, err)
	if s.Running != slot || s.Committed != slot || !bytes.HasPrefix(b, img) {
		u.t.Errorf("%+v, want slot %s with its image", s, slot)
	}
}

const (
	product = "base"
	release = product + "/1.0.0.json"
)

// newRepo is a repository with one release of one product.
func newRepo() *tuftest.Repo {
	r := tuftest.New(time.Now().Add(48 * time.Hour))
	r.Delegate(metadata.TARGETS, metadata.DelegatedRole{Name: product, Paths: []string{product + "/*"}, Terminating: true})
	r.AddTarget(product, release, []byte("the manifest of 1.0.0"))
	r.PublishAll()
	return r
}

// reader is a device's side of a repository.
type reader struct {
	t      testing.TB
	config client.Config
	*client.Client
}

func newReader(t testing.TB, r *tuftest.Repo) *reader {
	t.Helper()
	d := &reader{t: t, config: client.Config{Root: r.Version("root", 1), Source: r, Dir: t.TempDir()}}
	d.restart()
	t.Cleanup(func() { d.Close() })
	return d
}

func (d *reader) restart() {
	d.t.Helper()
	if d.Client != nil {
		must(d.t, d.Close())
	}
	c, err := client.Open(d.config)
	must(d.t, err)
	d.Client = c
}

// sees asks for everything that leads to the release.
func (d *reader) sees() error {
	if err := d.Refresh(context.Background()); err != nil {
		return err
	}
	_, err := d.Target(context.Background(), release)
	return err
}
