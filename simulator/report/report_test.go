package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sampleRun is a run of four units over ten seconds.
func sampleRun() *Run {
	r := &Run{Name: "made-up", About: "a <b>run</b> & more", Seed: 7, Units: 4, Processors: 2, Seconds: 10, Began: time.Unix(1e9, 0).UTC(), Repeat: "fairlead-sim run made-up"}
	for i := range 21 {
		t := float64(i) / 2
		done := min(i/4, 4)
		r.Samples = append(r.Samples, Sample{At: t, States: map[string]int{"idle": 4 - done, "committed": done}, Received: int64(i) * 1000, Requests: float64(10 * i),
			Connections: int64(2 * i), FleetCPU: t * 0.5, ServiceCPU: t * 0.1, FleetMem: 1 << 20, ServiceMem: 1 << 19})
	}
	for i := range 3 {
		r.Results = append(r.Results, Result{Unit: fmt.Sprint("unit-", i), To: "1.1.0", State: "committed", Seconds: float64(i + 1)})
	}
	r.Results = append(r.Results, Result{Unit: "unit-4", To: "1.1.0", State: "rolled_back", Reason: "health", Detail: `<script>alert("x")</script>`})
	r.Events = []Happened{{At: 1, Words: "roll 1.1.0 out"}}
	r.Verdicts = []Verdict{{Words: "all commit", OK: false, Found: "3 of 4"}, {Words: "no brick", OK: true, Found: "0"}}
	r.Received = PercentilesOf([]int64{100, 200, 300, 4000})
	r.Conclude()
	return r
}

func TestConclusions(t *testing.T) {
	r := sampleRun()
	if r.OK() {
		t.Error("a run of which an expectation did not hold is fine")
	}
	if r.Commit.Count != 3 || math.Abs(r.Commit.P50-2) > 0.002 || math.Abs(r.Commit.Max-3) > 0.003 {
		t.Errorf("commits: %+v", r.Commit)
	}
	if math.Abs(r.Costs.RequestsMax-20) > 0.01 || math.Abs(r.Costs.ConnectsMax-4) > 0.01 || r.Costs.FleetCPU != 5 {
		t.Errorf("costs: %+v", r.Costs)
	}
	if f := r.Failures(); len(f) != 1 || f[0].Reason != "health" || f[0].Units != 1 {
		t.Errorf("failures: %+v", f)
	}
}

func TestBottleneck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Sample)
		want  string
	}{
		"idle": {func(*Sample) {}, ""},
		"busy": {func(s *Sample) { s.FleetCPU = s.At * 1.9 }, "processors were busy"},
		"late": {func(s *Sample) { s.Late = 0.5 }, "woke up more than"},
	} {
		r := sampleRun()
		for i := range r.Samples {
			c.spoil(&r.Samples[i])
		}
		r.Conclude()
		if c.want == "" && r.Bottleneck != "" || !strings.Contains(r.Bottleneck, c.want) {
			t.Errorf("%s: %q", name, r.Bottleneck)
		}
	}
}

// TestPageNeedsNothingElse: no address is fetched, what units say is text, and the pictures are well formed.
func TestPageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := sampleRun().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"http://", "https://", "src=", "<script", "<b>run"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"did not hold", "3 of 4", "Units by state", "Time to commit", "roll 1.1.0 out", "&lt;script&gt;", "fairlead-sim run made-up"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	pictures := strings.Split(page, "<svg")
	if len(pictures) != 9 {
		t.Errorf("%d pictures", len(pictures)-1)
	}
	for _, p := range pictures[1:] {
		svg := "<svg" + p[:strings.Index(p, "</svg>")] + "</svg>"
		if strings.Contains(svg, "NaN") {
			t.Error("a picture holds no number")
		}
		if err := xml.Unmarshal([]byte(svg), new(any)); err != nil && err.Error() != "EOF" {
			t.Errorf("a picture is not well formed: %v", err)
		}
	}
}

// TestEmptyRun: a run that was interrupted before anything happened has a report, too.
func TestEmptyRun(t *testing.T) {
	r := &Run{Name: "nothing", Interrupted: true}
	r.Conclude()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil || !strings.Contains(b.String(), "interrupted") {
		t.Error(err)
	}
	if r.OK() {
		t.Error("an interrupted run is fine")
	}
}

func TestTableAndComparison(t *testing.T) {
	r, dir := sampleRun(), t.TempDir()
	var table bytes.Buffer
	if err := r.WriteCSV(&table); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(&table).ReadAll(); err != nil || len(rows) != 5 || rows[4][5] != "health" {
		t.Errorf("%v, %v", rows, err)
	}
	f, err := os.Create(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	back, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	back.Name, back.Commit.P50 = "slower", 4
	var b bytes.Buffer
	if err := WriteComparison(&b, r, back); err != nil || !strings.Contains(b.String(), "2.00") {
		t.Errorf("%v\n%s", err, &b)
	}
	if err := os.WriteFile(filepath.Join(dir, "other.json"), []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"other.json", "nowhere"} {
		if _, err := Read(filepath.Join(dir, path)); err == nil {
			t.Errorf("%s is a report", path)
		}
	}
}
