package conduct

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/site"
)

// sampler measures.
type sampler struct {
	tracker *tracker
	fleet   herd
	site    *site.Site
	began   float64 // processor seconds of this process when it was made
	up      time.Time
	late    alarm

	// What services that are gone have counted.
	past, last counts
	serving    int
	latency    float64
}

// alarm knows how late a process wakes up: the worst since it was asked, in nanoseconds.
type alarm struct{ worst atomic.Int64 }

// counts are what a service has counted since it started.
type counts struct{ requests, messages, devices, enrolled, cpu, ingested, ingest float64 }

func newSampler(t *tracker, h herd, s *site.Site) *sampler {
	return &sampler{tracker: t, fleet: h, site: s, began: ownCPU(), up: time.Now()}
}

// nap is how often the simulator's own punctuality is looked at.
const nap = 50 * time.Millisecond

// watch notes how late this process wakes up, until ctx ends.
func (a *alarm) watch(ctx context.Context) {
	t := time.NewTimer(nap)
	defer t.Stop()
	for due := time.Now().Add(nap); ; due = time.Now().Add(nap) {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if late := time.Since(due); int64(late) > a.worst.Load() {
			a.worst.Store(int64(late))
		}
		t.Reset(nap)
	}
}

// told is the worst since it was told last.
func (a *alarm) told() time.Duration { return time.Duration(a.worst.Swap(0)) }

// sample takes one. What a service in this process takes is the fleet's.
func (s *sampler) sample(ctx context.Context) report.Sample {
	now := time.Now()
	s.service(ctx)
	c := s.fleet.counts()
	return report.Sample{
		At: now.Sub(s.up).Seconds(), Late: max(s.late.told(), c.Late).Seconds(), States: s.tracker.states(),
		Received: c.Received, Sent: c.Sent, Connections: c.Connections, Open: c.Open,
		Requests: s.past.requests + s.last.requests, Messages: s.past.messages + s.last.messages, Devices: s.last.devices,
		ServiceCPU: s.past.cpu + s.last.cpu, ServiceMem: resident(s.site.PID()),
		Latency: s.latency, FleetCPU: ownCPU() - s.began + c.CPU, FleetMem: resident(os.Getpid()) + c.Mem,
	}
}

// service asks the service for its counts. One that does not answer keeps those it had.
func (s *sampler) service(ctx context.Context) {
	if serving := s.site.Serving(); serving != s.serving {
		s.past.requests += s.last.requests
		s.past.messages += s.last.messages
		s.past.cpu += s.last.cpu
		s.last, s.serving = counts{}, serving
	}
	if s.serving == 0 {
		return
	}
	if cpu, ok := processCPU(s.site.PID()); ok {
		s.last.cpu = cpu
	}
	if m, err := scrape(ctx, s.site); err == nil {
		n, sum := m["fairlead_ingest_seconds_count"], m["fairlead_ingest_seconds_sum"]
		s.latency = 0
		if n > s.last.ingested {
			s.latency = (sum - s.last.ingest) / (n - s.last.ingested)
		}
		s.last.ingested, s.last.ingest = n, sum
		s.last.requests = m["fairlead_http_requests_total"]
		s.last.messages = m["fairlead_mqtt_received_total"] + m["fairlead_mqtt_delivered_total"]
		s.last.devices, s.last.enrolled = m["fairlead_mqtt_devices"], m["fairlead_enrolments_total"]
	}
}

// maxMetrics bounds what a service says of itself, in bytes.
const maxMetrics = 4 << 20

// scrape reads a service's metrics in the text format of Prometheus, and sums up those of one name.
func scrape(ctx context.Context, s *site.Site) (map[string]float64, error) {
	c, err := s.Operator()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.HTTP().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading the service's metrics: %s", resp.Status)
	}
	return parseMetrics(io.LimitReader(resp.Body, maxMetrics))
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	all := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		name, value, found := strings.Cut(line, " ")
		if brace := strings.IndexByte(line, '{'); brace >= 0 {
			end := strings.LastIndexByte(line, '}')
			if found = end > brace; found {
				name, value = line[:brace], strings.TrimSpace(line[end+1:])
			}
		}
		if v, err := strconv.ParseFloat(value, 64); found && err == nil && !strings.HasPrefix(line, "#") {
			all[name] += v
		}
	}
	return all, lines.Err()
}

// ownCPU is the processor time of this process, in seconds.
func ownCPU() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// ticks is how many of /proc's units of processor time make a second, on every Linux that Go knows.
const ticks = 100

// processCPU is the processor time of another process, in seconds; proc_pid_stat(5). 0 is none.
func processCPU(pid int) (float64, bool) {
	if pid == 0 {
		return 0, false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold anything else
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks, err1 == nil && err2 == nil
}

// resident is the memory of a process, in bytes. 0 is none.
func resident(pid int) int64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
