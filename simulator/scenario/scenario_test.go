package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const good = `name: good
units: 10
for: 60s
fleet:
  - {name: office, share: 80%, network: lan}
  - {name: old, share: 20%, agent: 0.9.0, transport: poll}
networks:
  lan: {rate: 10MiB, latency: 2ms, loss: 0.1%}
releases:
  - version: 1.0.0
  - version: 1.1.0
faults:
  - {share: 10%, power_cut: [downloading, trying], off: 1s}
events:
  - {at: 1s, rollout: 1.1.0, plan: {in_flight: 5}}
  - {at: 5s, service: kill}
expect:
  - {committed: 1.1.0, within: 30s, of: office}
  - {bricked: none}
`

func TestParse(t *testing.T) {
	s, err := Parse([]byte(good), "good.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Networks["lan"].Class(); c.Rate != 10<<20 || c.Latency != 2*time.Millisecond || c.Loss != 0.001 {
		t.Errorf("network: %+v", c)
	}
	if s.Seed != 1 || s.Fleet[0].Transport != "mqtts" || s.Images.Size != 8<<20 {
		t.Errorf("defaults: %+v", s)
	}
	if plan := string(s.Events[0].RolloutPlan()); plan != `{"in_flight":5,"phases":[{"name":"all","percent":100}],"schema":1}` {
		t.Errorf("plan: %s", plan)
	}
	if w := s.Expect[0].Words(); w != "all units of kind office commit 1.1.0 within 30s" {
		t.Error(w)
	}
}

// TestRefused: what is wrong is said with its line, and what to do.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, new, line, want string }{
		"unknown key":      {"for: 60s", "fro: 60s", "line 3", `"fro" is not known`},
		"unknown event":    {"service: kill", "sevice: kill", "line 16", `"sevice" is not known`},
		"no number":        {"units: 10", "units: ten", "line 2", "cannot unmarshal"},
		"too many":         {"units: 10", "units: 1000000", "line 2", "not within 1 and 50000"},
		"no such network":  {"network: lan", "network: wan", "line 5", `no network "wan"`},
		"shares":           {"share: 80%", "share: 90%", "line 4", "110% together"},
		"share":            {"share: 10%", "share: 10", "line 13", "write a percentage"},
		"no such release":  {"rollout: 1.1.0", "rollout: 1.2.0", "line 15", `no release "1.2.0"`},
		"two things":       {"service: kill", "service: kill, direct: 1.1.0", "line 16", "this one does 2"},
		"nothing":          {", service: kill", "", "line 16", "this one does 0"},
		"no such word":     {"service: kill", "service: shoot", "line 16", "none of kill, stop, start"},
		"no such state":    {"trying", "tryin", "line 13", "no update is ever"},
		"too late":         {"at: 5s", "at: 5m", "line 16", "before the end of the run"},
		"longer":           {"within: 30s", "within: 90s", "line 18", "longer than the run"},
		"never rolled out": {"committed: 1.1.0", "committed: 1.0.0", "line 18", "nothing rolls 1.0.0 out"},
		"no such kind":     {"of: office", "of: offices", "line 18", `no kind of units "offices"`},
		"missing image":    {"version: 1.1.0", "version: 1.1.0\n    image: nowhere.img", "line 12", "nowhere.img is missing"},
		"a slow line":      {"rate: 10MiB", "rate: 10B", "line 8", "no TLS handshake"},
		"no expectation":   {"expect:", "expect: []\nx:", "line 18", `"x" is not known`},
		"two documents":    {"name: good", "name: first\n---\nname: good", "", "second document"},
		"not YAML":         {"name: good", "name: [", "line", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			_, err := Parse([]byte(text), "bad.yaml", ".")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.line) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %s, %s; got:\n%v", c.line, c.want, err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.yaml")
	for name, b := range map[string]string{"empty": "", "long": strings.Repeat("#", MaxFile+1)} {
		if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "own.img"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(good, "version: 1.1.0", "version: 1.1.0\n    image: own.img", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(path); err != nil || s.Releases[1].Image != filepath.Join(dir, "own.img") {
		t.Errorf("an image beside the scenario: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("expect: [{bricked: none}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b, "fuzz", t.TempDir())
		if err != nil {
			return
		}
		for _, e := range s.Events {
			if e.Does() == "" || e.Words() == "" {
				t.Errorf("an event that does nothing: %+v", e)
			}
		}
	})
}

// TestKeysAreAllOfThem: what people are shown is read by the reader, and names every key.
func TestKeysAreAllOfThem(t *testing.T) {
	d := yaml.NewDecoder(strings.NewReader(Keys))
	d.KnownFields(true)
	var s Scenario
	if err := d.Decode(&s); err != nil {
		t.Error(err)
	}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			if key, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ","); key != "" && !strings.Contains(Keys, key+":") {
				t.Errorf("%s.%s: nobody is told of %q", typ, typ.Field(i).Name, key)
			}
			walk(typ.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Scenario]())
}

func TestParseEvent(t *testing.T) {
	s, err := Parse([]byte(good), "good.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.ParseEvent([]byte("{fault: {share: 10%, disk_full: true}}")); err != nil || e.Words() != "fault of 10%" {
		t.Errorf("%q, %v", e.Words(), err)
	}
	for _, bad := range []string{"", "{rollout: 9.9.9}", "{service: kill, direct: 1.1.0}", "{nothing: 1}", "[", "{line: down}"} {
		if _, err := s.ParseEvent([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
