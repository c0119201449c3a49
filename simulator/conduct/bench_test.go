package conduct_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/library"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// fleetSize is how many units a benchmark takes: FLEET of the environment, or the default.
func fleetSize(b *testing.B, otherwise int) int {
	text := os.Getenv("FLEET")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("FLEET=%s: want a number of units", text)
	}
	return n
}

// processes is into how many of them the fleet is split: PROCESSES of the environment, or none of its own.
func processes(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("PROCESSES"), "1"))
	if err != nil {
		b.Fatalf("PROCESSES: %v", err)
	}
	return n
}

// bench carries a scenario out once and reports what it took.
func bench(b *testing.B, s *scenario.Scenario) {
	for range b.N {
		r, err := conduct.Run(b.Context(), s, conduct.Options{Dir: b.TempDir(), Processes: processes(b), Say: func(line string) { b.Log(line) }})
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range r.Verdicts {
			b.Logf("%v %s: %s", v.OK, v.Words, v.Found)
			if !v.OK {
				b.Errorf("%s: %s", v.Words, v.Found)
			}
		}
		tell(b, s, r)
	}
}

func tell(b *testing.B, s *scenario.Scenario, r *report.Run) {
	last := r.Samples[len(r.Samples)-1]
	n := float64(s.Units)
	b.ReportMetric(n, "units")
	b.ReportMetric(float64(last.FleetMem)/1024/n, "fleet-KiB/unit")
	b.ReportMetric(float64(r.Costs.FleetMem)/(1<<20), "fleet-peak-MiB")
	b.ReportMetric(float64(r.Costs.ServiceMem)/(1<<20), "service-peak-MiB")
	b.ReportMetric(1000*r.Costs.FleetCPU/n, "fleet-cpu-ms/unit")
	b.ReportMetric(1000*r.Costs.ServiceCPU/n, "service-cpu-ms/unit")
	if at := rolledOut(r); at >= 0 {
		from := r.Samples[at]
		b.ReportMetric(1000*(last.FleetCPU+last.ServiceCPU-from.FleetCPU-from.ServiceCPU)/n, "since-event-cpu-ms/unit")
	}
	b.ReportMetric(r.Commit.P50, "commit-median-s")
	b.ReportMetric(r.Commit.Max, "commit-last-s")
	if r.Bottleneck != "" {
		b.Log(r.Bottleneck)
	}
}

// rolledOut is the last sample before the first event; -1 for none.
func rolledOut(r *report.Run) int {
	if len(r.Events) == 0 {
		return -1
	}
	return slices.IndexFunc(r.Samples, func(s report.Sample) bool { return s.At > r.Events[0].At }) - 1
}

func parsed(b *testing.B, format string, args ...any) *scenario.Scenario {
	s, err := scenario.Parse(fmt.Appendf(nil, format, args...), "benchmark", ".")
	if err != nil {
		b.Fatal(err)
	}
	s.Over = carrier()
	return s
}

// carrier is what carries connections: OVER of the environment, or TCP.
func carrier() string { return cmp.Or(os.Getenv("OVER"), scenario.OverTCP) }

// BenchmarkIdle: units that are connected and have nothing to do, once the connections that brought them here have closed. They poll
// beside MQTT as seldom as devices do. FLEET=10000 PROCESSES=3 for the full size.
func BenchmarkIdle(b *testing.B) {
	bench(b, parsed(b, `
name: idle
units: %d
for: 10m
images: {size: 1MiB}
timing: {poll: 6h}
releases: [{version: 1.0.0}]
events: [{at: 100s, repository: up}]
expect: [{connected: 99.9%%}, {bricked: none}]
`, fleetSize(b, 500)))
}

// BenchmarkPatch: units take a patch to an image of 64 MiB and commit. FLEET=10000 for the full size.
func BenchmarkPatch(b *testing.B) {
	n := fleetSize(b, 100)
	bench(b, parsed(b, `
name: patch
units: %d
for: 60m
images: {size: 64MiB, used: 40%%, changed: 2%%}
releases: [{version: 1.0.0}, {version: 1.1.0}]
events: [{at: 1s, rollout: 1.1.0, plan: {in_flight: 64}}]
expect: [{committed: 1.1.0}, {bricked: none}]
`, n))
}

// BenchmarkBrokerRestart: the ready scenario, in which more units have as much more time, also between two polls, beside MQTT and
// without: 20,000 units that poll every 2 s leave a service no time for their connections. FLEET=20000 for the full size.
func BenchmarkBrokerRestart(b *testing.B) {
	s, err := library.Load("broker-restart")
	if err != nil {
		b.Fatal(err)
	}
	n := fleetSize(b, s.Units)
	longer := scenario.Duration(max(1, (n+s.Units-1)/s.Units))
	s.For, s.Timing.Poll, s.Timing.FallbackPoll = s.For*longer, s.Timing.Poll*longer, s.Timing.FallbackPoll*longer
	for i := range s.Expect {
		s.Expect[i].Within *= longer
	}
	s.Units, s.Over = n, carrier()
	bench(b, s)
}
