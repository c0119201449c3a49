package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// maxReport is the longest report.json that is read, in bytes.
const maxReport = 1 << 30

// Read reads report.json, from the file or the folder at path.
func Read(path string) (*Run, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, "report.json")
		info, err = os.Stat(path)
	}
	if err == nil && info.Size() > maxReport {
		err = fmt.Errorf("%d bytes are more than %d", info.Size(), maxReport)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w: name a report.json, or the folder of one", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	defer f.Close()
	r := &Run{}
	if err := json.NewDecoder(f).Decode(r); err != nil {
		return nil, fmt.Errorf("reading the report %s: %w", path, err)
	}
	if r.Schema < 1 || r.Name == "" {
		return nil, fmt.Errorf("reading the report %s: %w", path, errors.New("it is not a report of a run"))
	}
	return r, nil
}

// Difference is one figure of two runs.
type Difference struct {
	Figure string  `json:"figure"`
	A      float64 `json:"a"`
	B      float64 `json:"b"`
	Ratio  float64 `json:"ratio,omitempty"` // of B to A; 0 where A is
	words  func(any) string
}

// Compare sets two runs side by side.
func Compare(a, b *Run) []Difference {
	count := func(r *Run, state string) float64 {
		n := 0
		for _, u := range r.Results {
			if u.State == state {
				n++
			}
		}
		return float64(n)
	}
	held := func(r *Run) (n float64) {
		for _, v := range r.Verdicts {
			if v.OK {
				n++
			}
		}
		return n
	}
	all := []Difference{
		{"units", float64(a.Units), float64(b.Units), 0, number},
		{"expectations that held", held(a), held(b), 0, number},
		{"committed", count(a, "committed"), count(b, "committed"), 0, number},
		{"rolled back", count(a, "rolled_back"), count(b, "rolled_back"), 0, number},
		{"failed", count(a, "failed"), count(b, "failed"), 0, number},
		{"time to commit, median", a.Commit.P50, b.Commit.P50, 0, Seconds},
		{"time to commit, 90 %", a.Commit.P90, b.Commit.P90, 0, Seconds},
		{"time to commit, 99 %", a.Commit.P99, b.Commit.P99, 0, Seconds},
		{"time to commit, slowest", a.Commit.Max, b.Commit.Max, 0, Seconds},
		{"received by a unit, median", a.Received.P50, b.Received.P50, 0, Bytes},
		{"received by a unit, most", a.Received.Max, b.Received.Max, 0, Bytes},
		{"requests a second, at most", a.Costs.RequestsMax, b.Costs.RequestsMax, 0, number},
		{"connections a second, at most", a.Costs.ConnectsMax, b.Costs.ConnectsMax, 0, number},
		{"processor time of the fleet", a.Costs.FleetCPU, b.Costs.FleetCPU, 0, Seconds},
		{"processor time of the service", a.Costs.ServiceCPU, b.Costs.ServiceCPU, 0, Seconds},
		{"memory of the fleet, at most", float64(a.Costs.FleetMem), float64(b.Costs.FleetMem), 0, Bytes},
		{"memory of the service, at most", float64(a.Costs.ServiceMem), float64(b.Costs.ServiceMem), 0, Bytes},
	}
	for i := range all {
		if all[i].A != 0 {
			all[i].Ratio = all[i].B / all[i].A
		}
	}
	return all
}

// WriteComparison writes two runs side by side, for people.
func WriteComparison(w io.Writer, a, b *Run) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\t%s (seed %d)\t%s (seed %d)\tB/A\t\n", a.Name, a.Seed, b.Name, b.Seed)
	for _, d := range Compare(a, b) {
		ratio := "-"
		if d.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", d.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", d.Figure, d.words(d.A), d.words(d.B), ratio)
	}
	for _, r := range []*Run{a, b} {
		if r.Bottleneck != "" {
			fmt.Fprintf(t, "%s: its times are not to be believed\t\t\t\t\n", r.Name)
		}
	}
	return t.Flush()
}
