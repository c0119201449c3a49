package crash

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
)

// TestAgentSurvivesEveryCut cuts the power at every operation of an update, from every beginning, to a release that works
// and to one that does not.
func TestAgentSurvivesEveryCut(t *testing.T) {
	w := newWorld(t)
	bounds, arrive, want := depths()
	seen, start := NewSeen(), time.Now()
	runs, complete := 0, true
	all := beginnings()
	if raced {
		all, bounds = all[:1], bounds[:1] // the packages' own tests are what the race detector is for
	}
	for _, sc := range all {
		for _, target := range []*Image{w.newer, w.bad} {
			runs++
			name := fmt.Sprintf("%s, to %s", sc.name, target.Version)
			complete = t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				explore(t, w, sc, target, seen, bounds, arrive)
			}) && complete
		}
	}
	for _, sc := range patchedScenarios() {
		if raced {
			break
		}
		runs++
		complete = t.Run(strings.ReplaceAll(sc.name, " ", "_"), func(t *testing.T) { explore(t, w, sc, w.patched, seen, bounds, arrive) }) && complete
	}
	t.Logf("agent: %d distinct media of %d, %d boots, %d beginnings, %.0f media a second, seed %d", seen.Distinct(), seen.States.Load(),
		seen.Boots.Load(), runs, float64(seen.Distinct())/time.Since(start).Seconds(), *seed)
	if complete && seen.Distinct() < want && testing.CoverMode() == "" && !raced && everything() {
		t.Errorf("%d distinct media, fewer than %d", seen.Distinct(), want)
	}
}

func explore(t *testing.T, w *world, sc scenario, target *Image, seen *Seen, bounds []Bounds, arrive int) {
	d := w.device(target)
	d.LostOK, d.Kind = sc.lostOK, sc.kind
	if os.Getenv("CRASH_LOG") != "" {
		d.Log = os.Stderr
	}
	l := d.life(sc.make(&builder{world: w, t: t, kind: sc.kind}), "first, boot ")
	if err := l.first(sc.fault); err != nil && sc.fault == nil {
		t.Fatal(err)
	}
	x := &Explorer{Device: d, Seen: seen, Workers: 4, Arrive: arrive, Bounds: bounds}
	before := seen.States.Load()
	if err := x.Explore(l); err != nil {
		t.Errorf("%v\nagain: go test ./test/crash -run '%s' -crash.seed %d", err, t.Name(), *seed)
	}
	if n := seen.States.Load() - before; n < 100 && sc.fault == nil {
		t.Errorf("%d operations gave %d media: the test is blind", len(l.disk.log), n)
	}
}

// TestUpdateIsByPatch: those scenarios are of patches.
func TestUpdateIsByPatch(t *testing.T) {
	w := newWorld(t)
	for _, sc := range patchedScenarios() {
		l := w.device(w.patched).life(sc.make(&builder{world: w, t: t}), "first, boot ")
		if err := l.settle(); err != nil {
			t.Fatal(err)
		}
		if o, err := l.install(); !errors.Is(err, agent.ErrReboot) || o.Patched == 0 {
			t.Errorf("%s: %+v, %v", sc.name, o, err)
		}
	}
}

// first is the update that is cut.
func (l *life) first(fault func() func(what, name string) error) error {
	if err := l.settle(); err != nil {
		return err
	}
	if fault != nil {
		l.disk.fault = fault()
	}
	return l.update()
}
