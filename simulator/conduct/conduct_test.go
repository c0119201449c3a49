package conduct_test

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/library"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/simulator/virtual"
)

func TestMain(m *testing.M) {
	site.Child()
	virtual.Child()
	conduct.Child()
	os.Exit(m.Run())
}

// play carries a scenario out, small.
func play(t *testing.T, s *scenario.Scenario) *report.Run {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("AGENTS") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	carryOut := conduct.Run
	if s.Time == scenario.VirtualTime {
		carryOut = virtual.Run
	}
	r, err := carryOut(t.Context(), s, conduct.Options{Dir: t.TempDir(), Log: log, Say: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Verdicts {
		t.Logf("%v %s: %s", v.OK, v.Words, v.Found)
	}
	for _, f := range r.Failures() {
		t.Logf("%d %s %s: %s: %s", f.Units, f.State, f.Reason, f.Unit, f.Example)
	}
	return r
}

// small is a ready scenario with few units and small images.
func small(t *testing.T, name string, units int) *scenario.Scenario {
	t.Helper()
	s, err := library.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	s.Units, s.Images.Size = units, 256<<10
	return s
}

// TestReadyScenarios: some of them, small, over everything that carries connections. All of them at their own size: go test -tags long.
func TestReadyScenarios(t *testing.T) {
	for name, test := range map[string]struct {
		units int
		over  string
	}{
		"office-morning": {6, scenario.OverTCP}, "bad-release": {11, scenario.OverPlain}, "power-cut-storm": {6, scenario.OverPipe},
		"broker-restart": {6, scenario.OverPlain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := small(t, name, test.units)
			s.Over = test.over
			if r := play(t, s); !r.OK() {
				t.Errorf("it did not hold: %+v %+v", r.Verdicts, r.Events)
			}
		})
	}
}

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte(text), "test.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBrokenExpectationsAreFound: each expectation can fail, and says what was found.
func TestBrokenExpectationsAreFound(t *testing.T) {
	t.Parallel()
	r := play(t, parse(t, `
name: broken
units: 4
for: 8s
images: {size: 256KiB}
releases: [{version: 1.0.0}, {version: 1.1.0, patches: 0}]
faults: [{count: 1, unhealthy: 1.1.0}]
events: [{at: 0s, rollout: 1.1.0}, {at: 1s, hostile: 2}]
expect:
  - {committed: 1.1.0}
  - {committed: 1.1.0, within: 1ms, share: 50%}
  - {ended: failed}
  - {none_on: 1.1.0}
  - {at_most_on: 1.1.0, share: 25%}
  - {rollout: aborted, release: 1.1.0}
  - {bytes_per_unit: 1KiB}
  - {requests_per_second: 0.001}
  - {connections_per_second: 0.001}
  - {connected: 100%, within: 1ms}
`))
	if r.OK() {
		t.Error("a run without one expectation that held is fine")
	}
	for _, v := range r.Verdicts {
		if v.OK || v.Found == "" {
			t.Errorf("%s: held, or nobody knows why not: %q", v.Words, v.Found)
		}
	}
	if f := r.Failures(); len(f) != 1 || f[0].State != "rolled_back" || !strings.Contains(f[0].Example, "display") {
		t.Errorf("failures: %+v", f)
	}
}
