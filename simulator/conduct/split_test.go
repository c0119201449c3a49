package conduct_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

const together = `
name: together
units: 5
begins: 2026-01-05T08:59:59Z
fleet: [{name: office, share: 60%, rooms: [Amber], hours: {from: "08:00", to: "09:00"}}, {name: other, share: 40%, transport: poll, network: dsl}]
networks: {dsl: {latency: 5ms, proxy: true}}
images: {size: 256KiB}
releases: [{version: 1.0.0}, {version: 1.1.0}, {version: 1.2.0}]
faults: [{count: 1, unhealthy: 1.1.0}, {count: 1, power_cut: [rebooting], off: 100ms}]
events:
  - {at: 0s, direct: 1.1.0}
  - {at: 0s, when: {committed: 1.1.0, share: 75%}, repository: down}
  - {at: 0s, when: {ended: rolled_back, share: 10%}, repository: up}
  - {at: 0s, fault: {share: 100%, clear: true}}
  - {at: 100ms, power_cut: {count: 2}, off: 100ms}
  - {at: 1s, direct: 1.2.0}
expect:
  - {committed: 1.1.0, share: 75%}
  - {committed: 1.2.0}
  - {ended: rolled_back, share: 10%}
  - {bricked: none}
`

// carriedOut has a scenario carried out by a fleet in so many processes.
func carriedOut(t *testing.T, text string, processes int, sampled func(dir string, s report.Sample)) (*report.Run, error) {
	t.Helper()
	dir := t.TempDir()
	return conduct.Run(t.Context(), parse(t, text), conduct.Options{Dir: dir, Processes: processes,
		Say:     func(line string) { t.Log(line) },
		Sampled: func(s report.Sample) { sampled(dir, s) },
	})
}

// TestSplitFleetsEndEqually: in one process or in three, a fleet comes to the same states, and the report counts all of it.
func TestSplitFleetsEndEqually(t *testing.T) {
	t.Parallel()
	var ends []map[string]int
	for _, processes := range []int{1, 3} {
		r, err := carriedOut(t, together, processes, func(string, report.Sample) {})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Verdicts {
			t.Logf("%d: %v %s: %s", processes, v.OK, v.Words, v.Found)
		}
		if !r.OK() || r.Processes != processes {
			t.Errorf("in %d processes it did not hold: %+v %+v", r.Processes, r.Verdicts, r.Events)
		}
		last, end := r.Samples[len(r.Samples)-1], map[string]int{}
		for _, u := range r.Results {
			end[u.Unit+" "+u.Kind+" "+u.To+" "+u.State+" "+u.Reason]++
		}
		ends = append(ends, end)
		if r.Received.Count != 5 || r.Received.Min <= 0 || float64(last.Received) < 5*r.Received.Min || last.Connections < 5 || last.FleetCPU <= 0 {
			t.Errorf("in %d processes not all is counted: %+v, %+v", processes, r.Received, last)
		}
		units := 0
		for _, n := range last.States {
			units += n
		}
		if units != 5 {
			t.Errorf("in %d processes there are %d units: %v", processes, units, last.States)
		}
	}
	if !maps.Equal(ends[0], ends[1]) {
		t.Errorf("in one process %v\nin three %v", ends[0], ends[1])
	}
}

const alone = `
name: alone
units: 2
for: 60s
fleet: [{name: unit, transport: poll}]
images: {size: 256KiB}
releases: [{version: 1.0.0}]
events: [{at: 59s, repository: up}]
expect: [{bricked: none}]
`

// TestLostProcess: a process of the fleet that is killed ends the run, which says so, and is no success.
func TestLostProcess(t *testing.T) {
	t.Parallel()
	var once sync.Once
	r, err := carriedOut(t, alone, 2, func(dir string, s report.Sample) {
		if s.At > 0 {
			once.Do(func() { killOne(t, dir) })
		}
	})
	if err == nil || !strings.Contains(err.Error(), "of 2 of the fleet ended by itself (signal: killed)") {
		t.Errorf("%v", err)
	}
	if r == nil || r.OK() || r.Interrupted {
		t.Errorf("a report of a success: %+v", r)
	}
}

// killOne kills a process that has a part of the fleet in a folder.
func killOne(t *testing.T, dir string) {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != filepath.Join(dir, "fleet", "lock-2") {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil || pid == os.Getpid() {
			t.Fatalf("the part is not in a process of its own: %d, %v", pid, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		return
	}
	t.Error("nobody has the second part of the fleet")
}

func TestSplitRefused(t *testing.T) {
	s := parse(t, together)
	s.Over = scenario.OverPipe
	for _, n := range []int{2, 8, conduct.MaxProcesses + 1} {
		if _, err := conduct.Run(t.Context(), s, conduct.Options{Dir: t.TempDir(), Processes: n}); !errors.Is(err, scenario.ErrInvalid) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
