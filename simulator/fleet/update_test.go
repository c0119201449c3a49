package fleet

import (
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
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// scene is a service with release 1.1.0, and a fleet with 1.0.0 and shared slots.
type scene struct {
	t      *testing.T
	site   *agenttest.Site
	cfg    Config
	images map[string]string          // files, by version
	terms  func(*direction.Direction) // of all directions but that of unit forced; nil for none
	forced int
	length int64

	mu     sync.Mutex
	events map[int][]Event // by unit
	news   chan struct{}
}

func newScene(t *testing.T, units int) *scene {
	dir := t.TempDir()
	s := &scene{t: t, site: agenttest.New(time.Now().Add(time.Hour)), images: map[string]string{}, events: map[int][]Event{}, news: make(chan struct{}, 1)}
	t.Cleanup(s.site.Close)
	p := published()
	old, next := p.old, p.next
	s.length = int64(len(next))
	for version, b := range map[string][]byte{"1.0.0": old, "1.1.0": next} {
		s.images[version] = filepath.Join(dir, version)
		must(t, os.WriteFile(s.images[version], b, 0o600))
	}
	s.site.Serve(p.patch)
	s.site.Release("1.1.0", 2, p.artifact, func(m *firmware.Manifest) { m.Patches = []firmware.Patch{p.patch.Patch} })
	s.site.WriteCA(filepath.Join(dir, "ca"))
	s.site.WriteRoot(filepath.Join(dir, "root"))
	must(t, os.WriteFile(filepath.Join(dir, "claim"), []byte(agenttest.Claim), 0o600))
	s.cfg = Config{
		Dir: filepath.Join(dir, "fleet"), Units: units, Seed: 1, Service: s.site.Server.URL, CA: filepath.Join(dir, "ca"),
		Root: filepath.Join(dir, "root"), ClaimFile: filepath.Join(dir, "claim"), Product: agenttest.Product,
		Hardware: agenttest.Hardware, Image: s.images["1.0.0"], Factory: agent.Factory{Version: "1.0.0", Counter: 1}, Shared: true,
		FallbackPoll: 50 * time.Millisecond, RetryWait: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond, Observe: s.observe,
		Each: func(int) Unit { return Unit{Transports: []string{}} },
	}
	return s
}

// published is what every scene publishes; to make it is the dearest part of one.
var published = sync.OnceValue(func() (p struct {
	old, next []byte
	patch     agenttest.Patch
	artifact  agenttest.Artifact
}) {
	p.old, p.next = image(1), image(2)
	p.patch, p.artifact = agenttest.MakePatch(p.old, p.next), agenttest.Encode(p.next)
	return p
})

// image is mostly noise; images differ in a fifth of their bytes.
func image(seed uint64) []byte {
	common, own := rand.New(rand.NewPCG(7, 7)), rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 200_000)
	for i := range b {
		if b[i] = byte(common.Uint32()); i%5 == 0 {
			b[i] = byte(own.Uint32())
		}
	}
	return append(b, make([]byte, 100_000)...)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *scene) observe(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e.Number] = append(s.events[e.Number], e)
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// words are a unit's events, in short.
func (s *scene) words(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, e := range s.events[n] {
		switch e.Kind {
		case PoweredOn:
			words = append(words, "on:"+e.Slot)
		case Updated:
			words = append(words, string(e.State))
		case Answered:
			words = append(words, e.Kind+":"+e.Detail)
		default:
			words = append(words, e.Kind)
		}
	}
	return strings.Join(words, " ")
}

// device is the identity of a unit, as soon as it has one.
func (s *scene) device(n int) string {
	cfg, err := agent.LoadConfig(filepath.Join(s.cfg.Dir, UnitName(n), "agent.json"))
	must(s.t, err)
	a, err := agent.New(cfg, agent.Options{})
	must(s.t, err)
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		id, err := a.Identity()
		if err == nil {
			return id.Device
		}
		if time.Now().After(late) {
			s.t.Fatal(err)
		}
	}
}

// run directs every unit that enrols to 1.1.0 and lets the fleet live until done.
func (s *scene) run(enrol []int, done func() bool) *Fleet {
	s.t.Helper()
	f := newFleet(s.t, s.cfg)
	s.t.Cleanup(func() { f.Close() })
	ctx, cancel := context.WithTimeout(s.t.Context(), 40*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	for _, n := range enrol {
		terms := s.terms
		if n == s.forced {
			terms = nil
		}
		s.site.Direct(s.device(n), "1.1.0", terms)
	}
	for !done() {
		select {
		case <-s.news:
		case <-ctx.Done():
			for n := range s.cfg.Units {
				s.t.Logf("unit %d: %s", n+1, s.words(n+1))
			}
			s.t.Fatal("not done in time")
		}
	}
	cancel()
	must(s.t, <-ended)
	return f
}

// ended reports whether units have come to an end.
func (s *scene) ended(units int) func() bool {
	return func() bool {
		for n := 1; n <= units; n++ {
			w := strings.Fields(s.words(n))
			if !slices.ContainsFunc(w, func(w string) bool { return wire.State(w).Final() }) {
				return false
			}
		}
		return true
	}
}

func (s *scene) wantHolds(f *Fleet, n int, version string) {
	s.t.Helper()
	seen, err := f.Look(n)
	must(s.t, err)
	want, err := f.Store().Import(s.images[version])
	must(s.t, err)
	same, err := f.Store().Begins(seen.Content, want, s.length)
	if err != nil || !same || seen.Version != version {
		s.t.Errorf("unit %d: slot %s, version %s, holds %s: %v (%v)\n%s", n, seen.Slot, seen.Version, version, same, err, s.words(n))
	}
}

// TestPowerIsCutAtEachState: a unit whose power goes as it enters a state comes to the end that it would have come to.
func TestPowerIsCutAtEachState(t *testing.T) {
	t.Parallel()
	cuts := []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Committed}
	s := newScene(t, len(cuts)+2)
	s.cfg.Each = func(n int) Unit {
		u := Unit{Transports: []string{}}
		switch {
		case n <= len(cuts):
			u.Faults.CutAt = cuts[n-1 : n]
		case n == len(cuts)+1:
			u.Faults.CutAt = append(cuts[:2:2], wire.Rebooting)
		}
		return u
	}
	f := s.run([]int{1, 2, 3, 4, 5, 6}, s.ended(s.cfg.Units))
	for n := 1; n <= s.cfg.Units; n++ {
		s.wantHolds(f, n, "1.1.0")
		if off := strings.Count(s.words(n), PoweredOff); off != []int{1, 1, 1, 1, 3, 0}[n-1] && n != 4 {
			t.Errorf("unit %d lost its power %d times: %s", n, off, s.words(n))
		}
	}
}

// TestBadReleases: what does not start, hangs or is not healthy is left by itself.
func TestBadReleases(t *testing.T) {
	t.Parallel()
	faults := []Faults{{Loops: "1.1.0"}, {Hangs: "*", Watchdog: time.Millisecond}, {Unhealthy: "1.1.0"},
		{CutAt: []wire.State{wire.Trying}}, {Full: true}}
	s := newScene(t, len(faults))
	s.cfg.Each = func(n int) Unit { return Unit{Transports: []string{}, Faults: faults[n-1]} }
	f := s.run([]int{1, 2, 3, 4, 5}, s.ended(s.cfg.Units))
	for n, want := range []string{"rolled_back", "hung", "rolled_back", PoweredOff, "failed"} {
		s.wantHolds(f, n+1, "1.0.0")
		if !strings.Contains(s.words(n+1), want) {
			t.Errorf("unit %d: %s, want %s", n+1, s.words(n+1), want)
		}
	}
}

// TestPowerGoesDuringATrial: a unit that is looked at then is no brick.
func TestPowerGoesDuringATrial(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.cfg.Each = func(int) Unit { return Unit{Transports: []string{}, Faults: Faults{Hangs: "*"}} }
	f := s.run([]int{1}, func() bool { return strings.Contains(s.words(1), Hung) })
	s.wantHolds(f, 1, "1.1.0")
}

// TestFleetGoesOnWhereItWas: the simulator is stopped in the midst of a download, and the same fleet started again.
func TestFleetGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	s.cfg.Each = func(int) Unit { return Unit{Transports: []string{}, Line: network.Class{Rate: 60_000}} }
	f := s.run([]int{1, 2}, func() bool { return strings.Contains(s.words(1), "downloading") })
	must(t, f.Close())
	device := s.device(1)
	s.cfg.Each = func(int) Unit { return Unit{Transports: []string{}} }
	f = s.run(nil, s.ended(2))
	s.wantHolds(f, 1, "1.1.0")
	if again := s.device(1); again != device {
		t.Errorf("the unit enrolled again: %s was %s", again, device)
	}
}

// TestClone: a unit that is a copy of another speaks with its identity.
func TestClone(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	s.cfg.Each = func(n int) Unit { return Unit{Transports: []string{}, CloneOf: n - 1} }
	s.run([]int{1}, s.ended(2))
	if a, b := s.device(1), s.device(2); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestLookFindsBricks(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	f := newFleet(t, s.cfg)
	defer f.Close()
	dir := filepath.Join(s.cfg.Dir, UnitName(1), "boot")
	for _, name := range []string{"boot.0", "boot.1"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("noise"), 0o600))
	}
	if _, err := f.Look(1); err == nil {
		t.Error("a unit without a boot state looks well")
	}
}

// BenchmarkDeliver is what a unit costs before it has done anything.
func BenchmarkDeliver(b *testing.B) {
	dir := b.TempDir()
	img := filepath.Join(dir, "image")
	must(b, os.WriteFile(img, make([]byte, 1<<20), 0o600))
	for i := range b.N {
		c := Config{Dir: filepath.Join(dir, fmt.Sprint(i)), Units: 1000, Service: "https://127.0.0.1:9", CA: img, Root: img, ClaimFile: img,
			Product: "base-unit", Hardware: "bu-100", Image: img, Factory: agent.Factory{Version: "1.0.0", Counter: 1}, Shared: true}
		f, err := New(b.Context(), c, "1.0.0", slog.New(slog.DiscardHandler))
		must(b, errors.Join(err, f.Close()))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/unit")
}
