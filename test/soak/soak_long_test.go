//go:build long

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func TestMain(m *testing.M) {
	site.Child()
	os.Exit(m.Run())
}

const (
	product, hardware = "soak-unit", "soak-1"
	imageSize         = 16 << 20
	// mostGrowth is what the agent's memory may grow in an hour, in KiB, by the line of least squares through all but the
	// first sixth of the samples.
	mostGrowth = 1024
	pace       = 2 * time.Second // between updates: memory is asked about, not speed
	// calm is how long the service lives. An agent that loses it more often waits longer and longer, as it should.
	calm = 6 * time.Minute
)

// sample is what the kernel says of the agent.
type sample struct {
	at      time.Duration
	rss     float64 // KiB
	files   int
	threads int
}

// TestSoak: an agent fills its spare slot with one release after the other, is asked for reports, and loses its service now
// and then.
func TestSoak(t *testing.T) {
	length := 30 * time.Minute
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		check(t, err)
	}
	s := newSite(t)
	pid := startAgent(t, s)
	var all []sample
	began := time.Now()
	killed := began
	for n := 0; time.Since(began) < length; n++ {
		if time.Since(killed) > calm {
			killed = time.Now()
			check(t, s.Kill())
			check(t, s.Start(t.Context()))
		}
		round(t, s, n)
		all = append(all, look(t, pid, time.Since(began)))
		time.Sleep(pace)
	}
	steady := all[len(all)/6:]
	growth := slope(steady) * float64(time.Hour)
	first, last := steady[0], steady[len(steady)-1]
	t.Logf("%d updates in %v: memory %.1f MiB, most %.1f MiB, grows by %.0f KiB an hour; %d and %d open files, %d and %d threads",
		len(all), length, last.rss/1024, slices.MaxFunc(all, byRSS).rss/1024, growth, first.files, last.files, first.threads, last.threads)
	if growth > mostGrowth*max(1, float64(time.Hour)/float64(length)/2) {
		t.Errorf("the agent's memory grows")
	}
	if last.files > first.files+4 || last.threads > first.threads+8 {
		t.Errorf("the agent's files or threads grow")
	}
}

func byRSS(a, b sample) int { return int(a.rss - b.rss) }

// slope is that of the line of least squares, in KiB a nanosecond.
func slope(all []sample) float64 {
	var n, x, y, xx, xy float64
	for _, s := range all {
		at := float64(s.at)
		n, x, y, xx, xy = n+1, x+at, y+s.rss, xx+at*at, xy+at*s.rss
	}
	return (n*xy - x*y) / (n*xx - x*x)
}

func newSite(t *testing.T) *site.Site {
	s, err := site.Make(t.Context(), site.Options{Dir: filepath.Join(t.TempDir(), "site"), Product: product, Hardware: []string{hardware}})
	check(t, err)
	for i, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		image, err := s.MakeImage(site.Image{Size: imageSize, Used: 0.7, Changed: 0.2, Number: i, Seed: 1})
		check(t, err)
		check(t, s.Publish(t.Context(), site.Release{Version: version, Image: image, Patches: 1}))
	}
	check(t, s.Start(t.Context()))
	t.Cleanup(func() { check(t, s.Stop()) })
	check(t, s.Admit(t.Context(), 1))
	return s
}

// startAgent starts an agent that runs the first release, and returns its process.
func startAgent(t *testing.T, s *site.Site) (pid int) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-ldflags", "-X main.version=1.0.0", "-o", at("fairlead-agent"),
		"github.com/fairlead/fairlead/agent/cmd/fairlead-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)
	check(t, os.Mkdir(at("boot"), 0o700))
	factory, err := os.ReadFile(filepath.Join(s.Dir(), "images", "0.img"))
	check(t, err)
	check(t, os.WriteFile(at("a.img"), factory, 0o600))
	check(t, os.WriteFile(at("b.img"), nil, 0o600))
	config, err := json.Marshal(agent.Config{
		Service: s.URL(), CA: s.CA(), Root: s.Root(), ClaimFile: s.Claim(), Proxy: "none", Transports: []string{"mqtts"},
		State: at("state"), Product: product, Hardware: hardware, Serial: "S1", Factory: agent.Factory{Version: "1.0.0", Counter: 1},
		Slots: agent.SlotPaths{A: at("a.img"), B: at("b.img")}, SlotSize: imageSize, Bootloader: agent.BootConfig{Type: "file", Dir: at("boot")},
	})
	check(t, err)
	check(t, os.WriteFile(at("agent.json"), config, 0o600))
	output(t, exec.Command(at("fairlead-agent"), "--config", at("agent.json"), "boot"))
	var said bytes.Buffer
	run := exec.Command(at("fairlead-agent"), "--config", at("agent.json"), "run")
	run.Stdout, run.Stderr = &said, &said
	check(t, run.Start())
	t.Cleanup(func() {
		check(t, run.Process.Signal(syscall.SIGTERM))
		if err := run.Wait(); err != nil || t.Failed() {
			t.Errorf("the agent: %v\n%s", err, said.Bytes()[max(0, said.Len()-4000):])
		}
	})
	return run.Process.Pid
}

func output(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// round has the agent fill its slot once, and answer once.
func round(t *testing.T, s *site.Site, n int) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	client, err := s.Operator()
	check(t, err)
	device := online(t, ctx, client)
	id, err := s.Rollout(ctx, []string{"1.1.0", "1.2.0"}[n%2], json.RawMessage(`{"schema":1,"kind":"download_only","phases":[{"name":"all","percent":100}]}`))
	check(t, err)
	for {
		r, err := s.RolloutState(ctx, id)
		check(t, err)
		if r.Run == "finished" {
			break
		}
		pause(t, ctx)
	}
	for _, command := range []string{"check", "report-now", "ping"} {
		check(t, client.Do(ctx, "POST", "/devices/"+device+"/command", api.Command{Command: command}, &api.Commanded{}))
	}
}

// online waits for the device, and returns its id.
func online(t *testing.T, ctx context.Context, client api.Client) string {
	for ; ; pause(t, ctx) {
		var all api.Devices
		check(t, client.Do(ctx, "GET", "/devices?tenant="+site.Tenant, nil, &all))
		if len(all.Devices) == 1 && all.Devices[0].Online {
			return all.Devices[0].ID
		}
	}
}

func pause(t *testing.T, ctx context.Context) {
	select {
	case <-ctx.Done():
		t.Fatal("the agent does not do what it should")
	case <-time.After(50 * time.Millisecond):
	}
}

func look(t *testing.T, pid int, at time.Duration) sample {
	dir := fmt.Sprint("/proc/", pid)
	status, err := os.ReadFile(dir + "/status")
	check(t, err)
	files, err := os.ReadDir(dir + "/fd")
	check(t, err)
	return sample{at, float64(number(t, status, "VmRSS:")), len(files), number(t, status, "Threads:")}
}

// number is one of /proc/PID/status.
func number(t *testing.T, status []byte, name string) int {
	_, rest, _ := strings.Cut(string(status), name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatalf("the kernel says no %s", name)
	}
	n, err := strconv.Atoi(fields[0])
	check(t, err)
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
