package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/install"
)

// TestProgress: what people and programs see of the same installation.
func TestProgress(t *testing.T) {
	const mib = 1 << 20
	p := func(phase string, done int64) install.Progress {
		return install.Progress{
			Phase: phase, Done: done * mib, Total: 100 * mib, Fetched: done * mib / 4, Written: done * mib / 2, Unchanged: done * mib / 2,
			Rate: 3 * mib / 2, Left: time.Duration(100-done) * time.Second,
		}
	}
	var seen []install.Progress
	for done := int64(0); done <= 100; done += 4 {
		seen = append(seen, p(install.PhaseInstall, done))
	}
	seen = append(seen, p(install.PhaseVerify, 0), p(install.PhaseVerify, 50), p(install.PhaseVerify, 100))
	for _, c := range []struct {
		name           string
		json, terminal bool
		want           string
	}{
		{"lines", false, false, `installing     0 % of 100.0 MiB, - fetched, 1.5 MiB/s, 1m40s left
installing    12 % of 100.0 MiB, 3.0 MiB fetched, 1.5 MiB/s, 1m28s left
installing    20 % of 100.0 MiB, 5.0 MiB fetched, 1.5 MiB/s, 1m20s left`},
		{"a terminal", false, true, "\rinstalling     0 % of 100.0 MiB, - fetched, 1.5 MiB/s, 1m40s left" +
			"\rinstalling     8 % of 100.0 MiB, 2.0 MiB fetched, 1.5 MiB/s, 1m32s left"},
		{"JSON", true, false, `{"phase":"install","done":0,"total":104857600,"fetched":0,"written":0,"unchanged":0,"rate":1572864,"left":100}
{"phase":"install","done":41943040,"total":104857600,"fetched":10485760,"written":20971520,"unchanged":20971520,"rate":1572864,"left":60}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			now := time.Unix(0, 0)
			show := printer{w: &out, now: func() time.Time { return now }, json: c.json, terminal: c.terminal}
			for _, q := range seen {
				show.show(q)
				now = now.Add(100 * time.Millisecond)
			}
			if !strings.HasPrefix(out.String(), c.want) {
				t.Errorf("%q\nwant %q", out.String(), c.want)
			}
			ends := strings.Count(out.String(), "100 % of") + strings.Count(out.String(), `"done":104857600,`)
			if ends != 2 || !strings.HasSuffix(out.String(), "\n") {
				t.Errorf("%d phases ended: %q", ends, out.String())
			}
		})
	}
}
