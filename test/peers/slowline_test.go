package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	lineRate  = 20_000_000 // bits a second
	lineDelay = 100 * time.Millisecond
)

// lineLimit is how long the line takes for so many bytes in full packets: 1,448 bytes of 1,500 are not TCP's and IP's.
func lineLimit(bytes int64) time.Duration {
	const payload = lineMTU - 20 - 32 // TCP with timestamps
	return transmission(int((bytes+payload-1)/payload*lineMTU), lineRate)
}

// BenchmarkSlowLine: a full install where the line is what is slow.
func BenchmarkSlowLine(b *testing.B) {
	c := openCache(b)
	t := newTable("Full installs over 20 Mbit/s with 100 ms in each direction", "pair", "what", "sender", "bytes", "wall s",
		"÷ the line's limit", "÷ bits by rate", "CPU s")
	defer t.print()
	t.note("the line's limit is the artifact in full packets, 1,448 bytes of 1,500: no connection, no question, no start, no TLS, no metadata")
	t.note("bits by rate is the artifact without headers, in 3.6 %% less time than the line takes for it")
	t.note("curl fetches the same artifact by plain HTTP in one connection, and throws it away")
	t.note("by-hand is fairlead-agent install, from start to end; directed is the daemon, from a direction's arrival until the slot is proven")
	eachPair(b, named("go", "deb-year"), func(b *testing.B, p pair) {
		need(b, "curl")
		l := newLine(b, lineDelay, lineRate)
		w := newWorld(b, c)
		artifact := w.publish(b, "1.1.0", p.new)
		w.serve(b, l.host)
		claim := w.addTenant(b)
		limit, bits := lineLimit(artifact), transmission(int(artifact), lineRate)
		for _, sender := range senders(b) {
			l.congestion(b, sender)
			row := func(what string, u usage) {
				t.add(p, what, sender, artifact, u.Wall, share(u.Wall, limit), share(u.Wall, bits), u.CPU)
				b.ReportMetric(float64(share(u.Wall, limit)), what+"/"+sender+"÷line-limit")
				b.ReportMetric(float64(share(u.Wall, bits)), what+"/"+sender+"÷bits")
			}
			row("curl", run(b, append(l.enter, "curl", "-sf", "-o", "/dev/null", w.artifactURL(b, l.host, artifact))...))
			row("by-hand", w.byHand(b, p, l))
			row("directed", w.byDirection(b, p, l, claim))
		}
	})
}

// senders are what Linux does unless told otherwise, and what this machine does.
func senders(b testing.TB) []string {
	b.Helper()
	own, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	must(b, err)
	if is := strings.TrimSpace(string(own)); is != "cubic" {
		return []string{"cubic", is}
	}
	return []string{"cubic"}
}

// byHand installs into a slot, a file that holds nothing.
func (w *world) byHand(b testing.TB, p pair, l line) usage {
	b.Helper()
	config, slot := w.emptyDevice(b, p)
	u, _ := w.install(b, config, w.url, l.enter...)
	if err := same(slot, p.new); err != nil {
		b.Fatal(err)
	}
	return u
}

// byDirection is the same of a device that the director tells to.
func (w *world) byDirection(b testing.TB, p pair, l line, claim string) usage {
	b.Helper()
	config, slot := w.emptyDevice(b, p)
	u := usage{Wall: w.directed(b, config, claim, l.enter...)}
	if err := same(slot, p.new); err != nil {
		b.Fatal(err)
	}
	return u
}

// emptyDevice has files for slots, without a byte.
func (w *world) emptyDevice(b testing.TB, p pair) (config, slot string) {
	b.Helper()
	dir, err := os.MkdirTemp(w.dir, "slots-*")
	must(b, err)
	slots := [2]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for _, s := range slots {
		must(b, os.WriteFile(s, nil, 0o600))
	}
	return w.device(b, slots[0], slots[1], size(b, p.new)), slots[1]
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
