package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
)

// unit is a device in a folder: slots that are files, a bootloader that is a file, and
// boots that are agents one after the other.
type unit struct {
	t     *testing.T
	site  *agenttest.Site
	dir   string
	cfg   agent.Config
	boot  *boot.File
	clock func() time.Time
	// health says what a version's checks say; nil says that all is well.
	health func(version string) error
	// meddle may change the options of a boot.
	meddle func(boot int, o *agent.Options)
	boots  int
	id     string
}

func newUnit(t *testing.T, site *agenttest.Site) *unit {
	dir := t.TempDir()
	u := &unit{t: t, site: site, dir: dir, clock: time.Now}
	site.WriteCA(u.path("ca.pem"))
	site.WriteRoot(u.path("root.json"))
	u.cfg = agent.Config{
		Service: site.Server.URL, CA: u.path("ca.pem"), Root: u.path("root.json"), State: u.path("state"),
		Proxy: "none", Transports: []string{}, Product: agenttest.Product, Hardware: agenttest.Hardware, Serial: "sn-1",
		Factory: agent.Factory{Version: "1.0.0", Counter: 1},
		Slots:   agent.SlotPaths{A: u.path("slot-a"), B: u.path("slot-b")}, SlotSize: 4 << 20,
		Bootloader: agent.BootConfig{Type: "file", Dir: u.path("boot")},
		Health:     agent.HealthConfig{Hooks: u.path("health.d"), Deadline: agent.Duration(10 * time.Second)},
	}
	write(t, u.cfg.Slots.A, image(1))
	u.power()
	return u
}

func (u *unit) path(name string) string { return filepath.Join(u.dir, name) }

// power plays the bootloader.
func (u *unit) power() boot.Slot {
	u.t.Helper()
	f, err := boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{})
	if err != nil {
		u.t.Fatal(err)
	}
	slot, err := f.Boot()
	if err != nil {
		u.t.Fatal(err)
	}
	u.boot = f
	u.boots++
	return slot
}

// agent is what is started at a boot.
func (u *unit) agent() *agent.Agent {
	u.t.Helper()
	o := agent.Options{
		Log: slog.New(slog.NewTextHandler(logTo{u.t}, &slog.HandlerOptions{Level: slog.LevelWarn})), Clock: u.clock, Boot: u.boot, Version: "1.0.0",
		BootID: fmt.Sprintf("boot-%d", u.boots),
		Look:   2 * time.Millisecond,
		Retry:  agent.Retry{Min: time.Millisecond, Max: 20 * time.Millisecond, Attempts: 5},
		Limits: install.Limits{Attempts: 2, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, Checkpoint: 256 << 10},
		Link: link.Timing{Start: time.Millisecond, FallbackPoll: 10 * time.Millisecond, BackoffMin: time.Millisecond,
			BackoffMax: 10 * time.Millisecond, Stop: 2 * time.Second},
	}
	if u.health != nil {
		b, err := u.boot.State()
		if err != nil {
			u.t.Fatal(err)
		}
		o.Health = []health.Check{{Name: "product", Run: func(context.Context) error { return u.health(string(b.Running)) }}}
	}
	if u.meddle != nil {
		u.meddle(u.boots, &o)
	}
	a, err := agent.New(u.cfg, o)
	if err != nil {
		u.t.Fatal(err)
	}
	return a
}

// enroll gives the unit an identity.
func (u *unit) enroll() {
	u.t.Helper()
	id, err := u.agent().Enroll(context.Background(), agenttest.Claim)
	if err != nil {
		u.t.Fatal(err)
	}
	u.id = id.Device
}

// until lets the unit live, boot after boot, until done says so.
func (u *unit) until(done func() bool) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if u.live(ctx, done) {
			return
		}
		u.power()
		if u.boots > 12 {
			u.t.Fatalf("%d boots and no end: %v", u.boots, u.events())
		}
	}
	u.t.Fatalf("not within 30 s: %v\n%+v", u.events(), u.status())
}

// live is one boot: until it ends, or done.
func (u *unit) live(ctx context.Context, done func() bool) bool {
	u.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	a := u.agent()
	go func() { ended <- a.Run(ctx) }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, agent.ErrReboot) && err != nil {
				u.t.Fatalf("the agent ended: %v", err)
			}
			return err == nil && done()
		case <-look.C:
			if done() {
				cancel()
				<-ended
				return true
			}
		}
	}
}

// untilEvent lives until the service has heard that the update has ended, and returns how.
func (u *unit) untilEnd(update string) wire.Event {
	u.t.Helper()
	var end wire.Event
	u.until(func() bool {
		for _, e := range u.site.Events(u.id) {
			if e.Update == update && e.State.Final() {
				end = e
				return true
			}
		}
		return false
	})
	return end
}

// events are the states that the service heard of, in words.
func (u *unit) events() []string {
	var words []string
	for _, e := range u.site.Events(u.id) {
		word := string(e.State)
		if e.Reason != "" {
			word += "(" + e.Reason + ")"
		}
		if e.Say != "" {
			word += ":" + string(e.Say)
		}
		words = append(words, word)
	}
	return words
}

func (u *unit) wantEvents(want string) {
	u.t.Helper()
	if got := strings.Join(u.events(), " "); got != want {
		u.t.Errorf("events: %s\nwant:   %s", got, want)
	}
}

func (u *unit) status() agent.Status {
	u.t.Helper()
	s, err := u.agent().Status()
	if err != nil {
		u.t.Fatal(err)
	}
	return s
}

// wantRunning: slot runs, is committed, and holds the image.
func (u *unit) wantRunning(slot boot.Slot, version string, img []byte) {
	u.t.Helper()
	b, err := u.boot.State()
	if err != nil {
		u.t.Fatal(err)
	}
	if b.Running != slot || b.Committed != slot || b.Trial != "" {
		u.t.Errorf("bootloader: %+v, want %s", b, slot)
	}
	if s := u.status(); s.Version != version {
		u.t.Errorf("version %q, want %q", s.Version, version)
	}
	got, err := os.ReadFile(u.cfg.Slots.Path(slot))
	if err != nil {
		u.t.Fatal(err)
	}
	if len(got) < len(img) || !bytes.Equal(got[:len(img)], img) {
		u.t.Errorf("slot %s does not hold the image of %s", slot, version)
	}
}

// image is a few frames that compress a little and some zeros, another one for every seed.
func image(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 150_000)
	for i := range b {
		if i%4096 < 3000 {
			b[i] = byte(r.Uint32())
		}
	}
	return slices.Concat(b, make([]byte, 100_000))
}

var artifacts sync.Map // of seed

// artifact is image(seed), encoded once.
func artifact(seed uint64) agenttest.Artifact {
	once, _ := artifacts.LoadOrStore(seed, sync.OnceValue(func() agenttest.Artifact { return agenttest.Encode(image(seed)) }))
	return once.(func() agenttest.Artifact)()
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logTo writes a log into a test's.
type logTo struct{ t *testing.T }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
