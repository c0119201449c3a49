//go:build long

package conduct_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// realityText is what simulated units and processes both go through. Its waits are those of an agent that is told none.
const realityText = `
name: reality
units: 20
for: 3m
images: {size: 4MiB}
timing: {fallback_poll: 5m, retry: 10s, retry_max: 1h, poll: 6h, ramp: 1000}
releases: [{version: 1.0.0}, {version: 1.1.0}]
events: [{at: 2s, direct: 1.1.0}]
expect: [{committed: 1.1.0}, {bricked: none}]
`

// Bounds within which simulation and reality agree.
const (
	bytesApart = 0.02            // of what is fetched for the update, and of what is written
	timesApart = 3.0             // of the median of the times to commit, as a factor
	timesFloor = 5 * time.Second // that is added to the smaller: processes start, and wait for their turn
)

// seen is one update, wherever it happened.
type seen struct {
	state            string
	fetched, written int64
	seconds          float64
}

// TestSimulationAgreesWithReality: the same releases go to twenty simulated units and to twenty processes of fairlead-agent.
func TestSimulationAgreesWithReality(t *testing.T) {
	s := parse(t, realityText)
	var simulated []seen
	for _, r := range play(t, s).Results {
		simulated = append(simulated, seen{r.State, r.Fetched, r.Written, r.Seconds})
	}
	real := processes(t, s)
	if len(simulated) != s.Units || len(real) != s.Units {
		t.Fatalf("%d simulated updates, %d of processes, of %d units", len(simulated), len(real), s.Units)
	}
	for _, u := range slices.Concat(simulated, real) {
		if u.state != "committed" {
			t.Errorf("an update ended %s", u.state)
		}
	}
	fetched := func(u seen) float64 { return float64(u.fetched) }
	written := func(u seen) float64 { return float64(u.written) }
	seconds := func(u seen) float64 { return u.seconds }
	for what, of := range map[string]func(seen) float64{"fetched": fetched, "written": written} {
		a, b := median(simulated, of), median(real, of)
		t.Logf("%s: %.0f bytes simulated, %.0f by processes", what, a, b)
		if math.Abs(a-b) > bytesApart*max(a, b) {
			t.Errorf("%s: they are more than %.0f%% apart", what, 100*bytesApart)
		}
	}
	a, b := median(simulated, seconds), median(real, seconds)
	t.Logf("time to commit: %.1f s simulated, %.1f s by processes", a, b)
	if max(a, b) > timesApart*min(a, b)+timesFloor.Seconds() {
		t.Errorf("times are more than a factor of %g and %v apart", timesApart, timesFloor)
	}
}

func median(all []seen, of func(seen) float64) float64 {
	values := make([]float64, len(all))
	for i, u := range all {
		values[i] = of(u)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// processes has units that are processes of fairlead-agent, on slots that are files, take the release.
func processes(t *testing.T, s *scenario.Scenario) []seen {
	dir := t.TempDir()
	made := realSite(t, s, dir)
	binary := filepath.Join(dir, "fairlead-agent")
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-ldflags", "-X main.version=1.0.0", "-o", binary,
		"github.com/fairlead/fairlead/agent/cmd/fairlead-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ended := make(chan error, s.Units)
	for i := range s.Units {
		config := realUnit(t, made, s, filepath.Join(dir, fmt.Sprint("unit", i)), i)
		go func() { ended <- live(ctx, binary, config) }()
	}
	out := follow(t, ctx, made, s.Units)
	cancel()
	for range s.Units {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return out
}

// realSite publishes what the scenario has.
func realSite(t *testing.T, s *scenario.Scenario, dir string) *site.Site {
	made, err := site.Make(t.Context(), site.Options{Dir: filepath.Join(dir, "site"), Product: scenario.Product, Hardware: []string{scenario.Hardware}})
	check(t, err)
	for i, r := range s.Releases {
		im := s.Images
		path, err := made.MakeImage(site.Image{Size: int64(im.Size), Used: float64(im.Used), Changed: float64(im.Changed), Number: i, Seed: s.Seed})
		check(t, err)
		check(t, made.Publish(t.Context(), site.Release{Version: r.Version, Image: path, Patches: 1}))
	}
	check(t, made.Start(t.Context()))
	t.Cleanup(func() { check(t, made.Stop()) })
	check(t, made.Admit(t.Context(), s.Units))
	return made
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// realUnit delivers a unit and returns its configuration file.
func realUnit(t *testing.T, made *site.Site, s *scenario.Scenario, dir string, i int) string {
	check(t, os.MkdirAll(filepath.Join(dir, "boot"), 0o700))
	factory, err := os.ReadFile(filepath.Join(made.Dir(), "images", "0.img"))
	check(t, err)
	at := func(name string) string { return filepath.Join(dir, name) }
	check(t, os.WriteFile(at("a.img"), factory, 0o600))
	check(t, os.WriteFile(at("b.img"), nil, 0o600))
	b, err := json.Marshal(agent.Config{
		Service: made.URL(), CA: made.CA(), Root: made.Root(), ClaimFile: made.Claim(), Proxy: "none", Transports: []string{"mqtts"},
		State: at("state"), Product: scenario.Product, Hardware: scenario.Hardware, Serial: fmt.Sprint("REAL", i),
		Factory: agent.Factory{Version: "1.0.0", Counter: 1}, Slots: agent.SlotPaths{A: at("a.img"), B: at("b.img")},
		SlotSize: int64(s.Images.Size), Bootloader: agent.BootConfig{Type: "file", Dir: at("boot")},
	})
	check(t, err)
	check(t, os.WriteFile(at("agent.json"), b, 0o600))
	return at("agent.json")
}

// rebootWanted is the exit code of an agent that leaves the reboot to others.
const rebootWanted = 4

// live is the life of a machine: boot, agent, reboot.
func live(ctx context.Context, binary, config string) error {
	for ctx.Err() == nil {
		if out, err := exec.CommandContext(ctx, binary, "--config", config, "boot").CombinedOutput(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("boot: %w\n%s", err, out)
		}
		cmd := exec.CommandContext(ctx, binary, "--config", config, "run")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 20 * time.Second
		out, err := cmd.CombinedOutput()
		exit, isExit := errors.AsType[*exec.ExitError](err)
		if ctx.Err() == nil && (!isExit || exit.ExitCode() != rebootWanted) {
			return fmt.Errorf("run: %w\n%s", cmp.Or(err, errors.New("it ended by itself")), out)
		}
	}
	return nil
}

// follow directs the release once all are there, and waits until each update has ended.
func follow(t *testing.T, ctx context.Context, made *site.Site, units int) []seen {
	client, err := made.Operator()
	check(t, err)
	online := func() (n int) {
		var all api.Devices
		check(t, client.Do(ctx, "GET", "/devices?tenant="+site.Tenant, nil, &all))
		for _, d := range all.Devices {
			if d.Online {
				n++
			}
		}
		return n
	}
	for online() < units {
		time.Sleep(200 * time.Millisecond)
	}
	check(t, made.Direct(ctx, "1.1.0"))
	began := time.Now()
	ends := map[string]seen{}
	for ; len(ends) < units; time.Sleep(200 * time.Millisecond) {
		var all api.Updates
		check(t, client.Do(ctx, "GET", "/updates?limit=100&tenant="+site.Tenant, nil, &all))
		for _, u := range all.Updates {
			if _, known := ends[u.ID]; !known && slices.Contains([]string{"committed", "failed", "rolled_back", "rejected"}, u.State) {
				ends[u.ID] = seen{u.State, u.Fetched, u.Written, time.Since(began).Seconds()}
			}
		}
	}
	var out []seen
	for _, u := range ends {
		out = append(out, u)
	}
	return out
}
