package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Schema is the major version of report.json. Members are only ever added.
const Schema = 1

// Run is what a run was.
type Run struct {
	Schema      int         `json:"schema"`
	Name        string      `json:"name"`
	About       string      `json:"about,omitempty"`
	Seed        uint64      `json:"seed"`
	Repeat      string      `json:"repeat"` // the command line that repeats it
	Version     string      `json:"version"`
	Began       time.Time   `json:"began"`
	Seconds     float64     `json:"seconds"` // from the fleet's being up to the end
	Units       int         `json:"units"`
	Processors  int         `json:"processors"`
	Processes   int         `json:"processes"`         // that had the fleet
	Virtual     bool        `json:"virtual,omitempty"` // time was; nothing depends on the machine then
	Interrupted bool        `json:"interrupted,omitempty"`
	Bottleneck  string      `json:"bottleneck,omitempty"`
	Verdicts    []Verdict   `json:"verdicts"`
	Events      []Happened  `json:"events"`
	Samples     []Sample    `json:"samples"`
	Results     []Result    `json:"results"`
	Commit      Percentiles `json:"commit_seconds"` // of updates that were committed, since they were directed
	Received    Percentiles `json:"received_bytes"` // by each unit in all, TLS included
	Costs       Costs       `json:"costs"`
}

// Verdict is what became of an expectation.
type Verdict struct {
	Words string `json:"expectation"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

// Happened is an event of the scenario.
type Happened struct {
	At    float64 `json:"at"`
	Words string  `json:"event"`
	Error string  `json:"error,omitempty"`
}

// Sample is how it was at a moment. Counts of bytes, requests and messages are since the beginning.
type Sample struct {
	At          float64        `json:"at"`
	States      map[string]int `json:"states"` // units by the state of their update; off, hung and bricked beside them
	Received    int64          `json:"received"`
	Sent        int64          `json:"sent"`
	Connections int64          `json:"connections"` // made by the fleet
	Open        int64          `json:"open"`
	Requests    float64        `json:"requests"` // HTTP, that the service answered
	Messages    float64        `json:"messages"` // MQTT, in and out
	Devices     float64        `json:"devices"`  // connected by MQTT, by the service's count
	Latency     float64        `json:"latency"`  // seconds from a message's coming to its being stored, of the last interval on average
	FleetCPU    float64        `json:"fleet_cpu"`
	ServiceCPU  float64        `json:"service_cpu"` // seconds of processor time
	FleetMem    int64          `json:"fleet_mem"`
	ServiceMem  int64          `json:"service_mem"` // bytes resident
	Late        float64        `json:"late"`        // seconds that the simulator woke up late, at worst
}

// Result is how one update of one unit ended, or how far it is.
type Result struct {
	Unit    string  `json:"unit"`
	Kind    string  `json:"kind"`
	From    string  `json:"from"`
	To      string  `json:"to"`
	State   string  `json:"state"`
	Reason  string  `json:"reason,omitempty"`
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"` // since it was directed
	Fetched int64   `json:"fetched"` // bytes
	Written int64   `json:"written"` // bytes
	Starts  int     `json:"starts"`  // of the unit, until then
	Cuts    int     `json:"power_cuts,omitempty"`

	PutOff      int `json:"put_off,omitempty"`     // times that the people at the unit did, or let it wait
	Interrupted int `json:"interrupted,omitempty"` // times that it rebooted by itself while it was in use
}

// Costs are what it took, per unit and in all.
type Costs struct {
	FleetCPU    float64 `json:"fleet_cpu_seconds"`
	ServiceCPU  float64 `json:"service_cpu_seconds"`
	FleetMem    int64   `json:"fleet_peak_bytes"`
	ServiceMem  int64   `json:"service_peak_bytes"`
	RequestsMax float64 `json:"requests_per_second_max"`
	ConnectsMax float64 `json:"connections_per_second_max"`
}

// OK reports whether there were expectations, every one held, and the run came to its end.
func (r *Run) OK() bool {
	return !r.Interrupted && len(r.Verdicts) > 0 && !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return !v.OK }) &&
		!slices.ContainsFunc(r.Events, func(h Happened) bool { return h.Error != "" })
}

// Failure is why updates did not come to their end.
type Failure struct {
	State, Reason string
	Units         int
	Example, Unit string
}

// Failures are the causes, the most frequent first.
func (r *Run) Failures() []Failure {
	found := map[string]*Failure{}
	for _, u := range r.Results {
		if u.State == "committed" || u.State == "idle" {
			continue
		}
		key := u.State + " " + u.Reason
		f := found[key]
		if f == nil {
			f = &Failure{State: u.State, Reason: u.Reason, Example: u.Detail, Unit: u.Unit}
			found[key] = f
		}
		f.Units++
	}
	all := make([]Failure, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[key])
	}
	slices.SortStableFunc(all, func(a, b Failure) int { return cmp.Compare(b.Units, a.Units) })
	return all
}

// Bounds beyond which the simulator, or the machine, was what limited a run.
const (
	busyShare = 0.9  // of the processors
	lateTick  = 0.25 // seconds
	often     = 0.2  // of the samples
)

// Conclude works out what follows from the samples and the results.
func (r *Run) Conclude() {
	r.Schema = Schema
	r.costs()
	r.Commit = percentiles(r.commits(), 1000)
	r.Bottleneck = r.bottleneck()
}

func (r *Run) commits() (seconds []float64) {
	for _, u := range r.Results {
		if u.State == "committed" {
			seconds = append(seconds, u.Seconds)
		}
	}
	return seconds
}

func (r *Run) costs() {
	c := &r.Costs
	for i, s := range r.Samples {
		c.FleetCPU, c.FleetMem, c.ServiceMem = s.FleetCPU, max(c.FleetMem, s.FleetMem), max(c.ServiceMem, s.ServiceMem)
		c.ServiceCPU = s.ServiceCPU
		if i == 0 || s.At <= 0 {
			continue
		}
		c.RequestsMax = max(c.RequestsMax, rate(r.Samples, i, func(s Sample) float64 { return s.Requests }))
		c.ConnectsMax = max(c.ConnectsMax, rate(r.Samples, i, func(s Sample) float64 { return float64(s.Connections) }))
	}
}

// Rate is how much a count has grown a second, over the last second of the samples.
func Rate(all []Sample, count func(Sample) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return rate(all, len(all)-1, count)
}

// rate is how much a count has grown a second, over the second that ends with sample i.
func rate(all []Sample, i int, count func(Sample) float64) float64 {
	from := i
	for from > 0 && all[i].At-all[from].At < 0.999 {
		from--
	}
	took := all[i].At - all[from].At
	if took <= 0 {
		return 0
	}
	return max(0, count(all[i])-count(all[from])) / took
}

func (r *Run) bottleneck() string {
	var busy, late, fleet, service, took float64
	for i := 1; i < len(r.Samples); i++ {
		a, b := r.Samples[i-1], r.Samples[i]
		dt := b.At - a.At
		if dt <= 0 {
			continue
		}
		f, s := (b.FleetCPU-a.FleetCPU)/dt, max(0, b.ServiceCPU-a.ServiceCPU)/dt
		took++
		if f+s >= busyShare*float64(r.Processors) {
			busy, fleet, service = busy+1, fleet+f, service+s
		}
		if b.Late > lateTick {
			late++
		}
	}
	switch {
	case took == 0:
		return ""
	case busy/took > often:
		return fmt.Sprintf("The simulator was the bottleneck: for %.0f%% of the time the processors were busy, %.1f of %d with the fleet and %.1f with the service: "+
			"what took long may have taken long because of the simulator. Fewer units, or a machine with more processors, would tell",
			100*busy/took, fleet/busy, r.Processors, service/busy)
	case late/took > often:
		return fmt.Sprintf("Something else kept this machine busy: for %.0f%% of the time the simulator woke up more than %v late. "+
			"The times are not to be believed", 100*late/took, time.Duration(lateTick*float64(time.Second)))
	}
	return ""
}
