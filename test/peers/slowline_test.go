package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	lineRate  = 20_000_000 // bits a second
	lineDelay = 100 * time.Millisecond
)

// BenchmarkSlowLine: a full install where the line is what is slow.
func BenchmarkSlowLine(b *testing.B) {
	c := openCache(b)
	t := newTable("Full installs over 20 Mbit/s with 100 ms in each direction", "pair", "what", "bytes", "wall s", "÷ the line's limit", "CPU s")
	defer t.print()
	t.note("the limit is the artifact's bits through the rate: no start, no headers (of TCP/IP 3.6 %%), no TLS, no metadata")
	t.note("curl fetches the same artifact by plain HTTP in one connection, and throws it away")
	eachPair(b, named("go", "deb-year"), func(b *testing.B, p pair) {
		need(b, "curl")
		l := newLine(b, lineDelay, lineRate)
		w := newWorld(b, c)
		artifact := w.publish(b, "1.1.0", p.new)
		w.serve(b, l.host)
		limit := transmission(int(artifact), lineRate)
		row := func(what string, wall, cpu time.Duration) {
			t.add(p, what, artifact, wall, share(wall, limit), cpu)
		}
		fetch := run(b, append(l.enter, "curl", "-sf", "-o", "/dev/null", w.artifactURL(b, l.host, artifact))...)
		row("curl", fetch.Wall, fetch.CPU)
		u := w.overLine(b, p, l)
		row("fairlead-agent", u.Wall, u.CPU)
		b.ReportMetric(float64(share(u.Wall, limit)), "wall÷line")
	})
}

// overLine installs into a slot, a file that holds nothing.
func (w *world) overLine(b testing.TB, p pair, l line) usage {
	b.Helper()
	slots := [2]string{w.at("a"), w.at("b")}
	for _, s := range slots {
		must(b, os.WriteFile(s, nil, 0o600))
	}
	u, _ := w.install(b, w.device(b, slots[0], slots[1], size(b, p.new)), w.url, l.enter...)
	if err := same(slots[1], p.new); err != nil {
		b.Fatal(err)
	}
	return u
}

// artifactURL serves the repository without TLS, and finds the artifact by its length.
func (w *world) artifactURL(b testing.TB, host string, length int64) string {
	b.Helper()
	blobs, err := filepath.Glob(w.at("repo", "blobs", "*"))
	must(b, err)
	for _, blob := range blobs {
		if size(b, blob) == length {
			return fmt.Sprintf("%s/blobs/%s", serveFiles(b, w.at("repo"), host), filepath.Base(blob))
		}
	}
	b.Fatalf("the repository has no blob of %d bytes", length)
	return ""
}
