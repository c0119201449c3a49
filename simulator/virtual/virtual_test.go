package virtual_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/virtual"
)

func TestMain(m *testing.M) {
	virtual.Child()
	os.Exit(m.Run())
}

const days = `
name: days
time: virtual
units: 4
for: 3d
fleet: [{name: unit, transport: poll}]
networks: {dsl: {latency: 30ms}}
images: {size: 256KiB}
releases: [{version: 1.0.0}, {version: 1.1.0}]
timing: {boot: 40s, poll: 3d, fallback_poll: 12h, retry: 1m, retry_max: 2h, health: 5m}
faults: [{count: 1, power_cut: [rebooting], off: 10m}]
events: [{at: 6h, rotate: root}, {at: 12h, rollout: 1.1.0}, {at: 2d, service: kill}, {at: 2.1d, service: start}]
expect: [{committed: 1.1.0, share: 100%}, {bricked: none}]
`

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte(text), "test.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func play(t *testing.T, s *scenario.Scenario) *report.Run {
	t.Helper()
	r, err := virtual.Run(t.Context(), s, conduct.Options{Dir: t.TempDir(), Say: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Verdicts {
		t.Logf("%v %s: %s", v.OK, v.Words, v.Found)
	}
	return r
}

func written(t *testing.T, r *report.Run) (json, csv string) {
	t.Helper()
	var j, c bytes.Buffer
	if err := r.WriteJSON(&j); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteCSV(&c); err != nil {
		t.Fatal(err)
	}
	return j.String(), c.String()
}

// TestEqualSeedsGiveEqualResults, byte for byte.
func TestEqualSeedsGiveEqualResults(t *testing.T) {
	s := parse(t, days)
	first := play(t, s)
	if !first.OK() || !first.Virtual || first.Seconds < 2*24*3600 {
		t.Fatalf("it did not hold, or no days passed: %v s, %+v %+v", first.Seconds, first.Verdicts, first.Events)
	}
	j1, c1 := written(t, first)
	if j2, c2 := written(t, play(t, s)); j1 != j2 || c1 != c2 {
		t.Errorf("the same seed, another result: %s\n%s\n%s", difference(j1, j2), c1, c2)
	}
}

// difference is the first line that is another one.
func difference(a, b string) string {
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || line != other[i] {
			return fmt.Sprintf("line %d: %q, and %q", i+1, line, strings.Join(other[min(i, len(other)):min(i+1, len(other))], ""))
		}
	}
	return "none"
}

// TestInterrupted: who stops it gets the report of what was.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := parse(t, strings.Replace(days, "committed: 1.1.0", "committed: 1.1.0, of: unit", 1))
	r, err := virtual.Run(ctx, s, conduct.Options{Dir: t.TempDir(), Sampled: func(report.Sample) { cancel() }})
	if err != nil || r == nil || !r.Interrupted {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestWhatCannotBeCarriedOut is told in words, and not by a stack.
func TestWhatCannotBeCarriedOut(t *testing.T) {
	s := parse(t, days)
	s.Releases[1].Image = "/nowhere.img"
	_, err := virtual.Run(t.Context(), s, conduct.Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "/nowhere.img") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("%v", err)
	}
}
