package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/simulator/virtual"
)

func TestMain(m *testing.M) {
	site.Child()
	virtual.Child()
	conduct.Child()
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	whole := []string{"fleet", "--service", "https://x", "--ca", "/no/ca", "--root", "r", "--claim-file", "c", "--product", "p",
		"--hardware", "h", "--image", "i", "--release", "1.0.0", "--dir", t.TempDir()}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"missing flag":    {[]string{"fleet"}, 2, "--service is missing"},
		"unknown flag":    {[]string{"fleet", "--unit", "3"}, 2, "unit"},
		"stray argument":  {append(whole[:len(whole):len(whole)], "x"), 2, "is not a flag"},
		"no scenario":     {[]string{"run"}, 2, "want 1 arguments"},
		"unknown":         {[]string{"run", "office-mornin"}, 2, "there are bad-release"},
		"unknown carrier": {[]string{"run", "--over", "pigeons", "office-morning"}, 5, "pigeons"},
		"virtual TCP":     {[]string{"run", "--virtual", "--over", "tcp", "office-morning"}, 5, "plain"},
		"virtual, split":  {[]string{"run", "--virtual", "--processes", "2", "office-morning"}, 5, "over: tcp"},
		"split, no unit":  {[]string{"run", "--processes", "3", "--units", "2", "office-morning"}, 5, "a unit for each"},
		"split, a log":    {[]string{"run", "--verbose", "--processes", "2", "office-morning"}, 2, "--verbose"},
		"unknown command": {[]string{"simulate"}, 2, "unknown command"},
		"missing file":    {[]string{"check", "./nowhere.yaml"}, 5, "nowhere.yaml"},
		"no report":       {[]string{"compare", "/no/a", "/no/b"}, 1, "reading a report"},
		"nobody listens":  {[]string{"inject", "127.0.0.1:9", "{service: kill}"}, 1, "--listen"},
		"bad sickness":    {append(whole[:len(whole):len(whole)], "--sick", "unit-001"), 2, "UNIT=VERSION"},
		"no part":         {append(whole[:len(whole):len(whole)], "--part", "3/2"), 2, "want K/N"},
		"no part at all":  {append(whole[:len(whole):len(whole)], "--part", "half"), 2, "want K/N"},
		"sick stranger":   {append(whole[:len(whole):len(whole)], "--sick", "unit-021=1.1.0"), 2, "there is no unit-021"},
		"missing CA":      {whole, 1, "ca: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := newApp(&out, &out).RunContext(t.Context(), append([]string{"fairlead-sim"}, test.args...))
			if err == nil {
				t.Fatal("no error")
			}
			if code := exitCode(err); code != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("exit code %d, %v; want %d, %q", code, err, test.code, test.want)
			}
		})
	}
}

func sim(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := newApp(&out, &out).RunContext(t.Context(), append([]string{"fairlead-sim"}, args...))
	return out.String(), err
}

func TestLibrary(t *testing.T) {
	if out, err := sim(t, "list"); err != nil || strings.Count(out, "\n") != 12 || !strings.Contains(out, "clone-war") {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err := sim(t, "show", "slow-links"); err != nil || !strings.Contains(out, "hotel: {portal: true}") {
		t.Errorf("show: %v\n%s", err, out)
	}
	if out, err := sim(t, "show", "--keys"); err != nil || !strings.Contains(out, "watchdog") {
		t.Errorf("show --keys: %v\n%s", err, out)
	}
	if out, err := sim(t, "check", "office-morning"); err != nil || !strings.Contains(out, "fine") {
		t.Errorf("check: %v\n%s", err, out)
	}
}

const tiny = `name: tiny
units: 2
for: 30s
images: {size: 256KiB}
releases: [{version: 1.0.0}, {version: 1.1.0}]
events: [{at: 0s, direct: 1.1.0}]
expect:
  - {committed: 1.1.0}
  - {bytes_per_unit: 1KiB}
`

// TestRun: an expectation that does not hold is told by the exit code, the lines and the report; metrics and events go by the port.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "report")
	if err := os.WriteFile(file, []byte(tiny), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	out, err := sim(t, "run", "--seed", "5", "--report", folder, "--listen", "127.0.0.1:0", file)
	if code := exitCode(err); err == nil || code != 3 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	for _, want := range []string{"metrics at http://127.0.0.1:", "held          all units commit 1.1.0: 2 of 2", "DID NOT HOLD  no unit receives",
		"seed 5; the same again: fairlead-sim run --seed 5 --units 2 " + file} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody is told %q:\n%s", want, out)
		}
	}
	page, err := os.ReadFile(filepath.Join(folder, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("did not hold")) {
		t.Errorf("the page: %v", err)
	}
	if out, err := sim(t, "compare", folder, folder); err != nil || !strings.Contains(out, "1.00") {
		t.Errorf("compare: %v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "fairlead-sim-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestPort: whoever listens is told metrics; an event is checked before it happens.
func TestPort(t *testing.T) {
	s, err := scenario.Parse([]byte(tiny), "tiny.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan scenario.Event, 1)
	p, err := listen(t.Context(), "127.0.0.1:0", s, events)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.sampled([]report.Sample{{States: map[string]int{"idle": 2}, Received: 42}})
	resp, err := http.Get("http://" + p.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	for _, want := range []string{`fairlead_sim_units{state="idle"} 2`, "fairlead_sim_received_bytes_total 42"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("no %s: %v\n%s", want, err, text)
		}
	}
	if _, err := sim(t, "inject", p.address, "{direct: 9.9.9}"); err == nil || !strings.Contains(err.Error(), "no release") {
		t.Errorf("an event that cannot be: %v", err)
	}
	if out, err := sim(t, "inject", p.address, "{service: kill}"); err != nil || out != "service kill\n" {
		t.Errorf("%q, %v", out, err)
	}
	if e := <-events; e.Service != "kill" {
		t.Errorf("%+v", e)
	}
}
