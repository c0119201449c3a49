package peers

import (
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkArtifactSize: how large a whole image is on the way, by the size of its frames.
func BenchmarkArtifactSize(b *testing.B) {
	sign := filepath.Join(fairlead(b), "fairlead-sign")
	c := openCache(b)
	t := newTable("Artifact sizes: whole images", "pair", "made by", "bytes", "÷ zstd -9", "CPU s", "peak MiB", "measured")
	defer t.print()
	eachPair(b, images, func(b *testing.B, p pair) {
		theirs := c.full(b, p)
		t.add(p, "zstd -9 ("+theirs.Tool+")", theirs.Bytes, "", theirs.CPU, mib(theirs.RSS), theirs.measured())
		out := filepath.Join(c.scratch(b), "artifact")
		for _, frame := range []int{1 << 18, 1 << 20, 1 << 21, 1 << 22} {
			u := run(b, sign, "artifact", "build", "--frame-size", strconv.Itoa(frame), p.new, out)
			r := resultOf(b, out, u)
			t.add(p, "fairlead, frames of "+cell(mib(frame))+" MiB", r.Bytes, share(r.Bytes, theirs.Bytes), r.CPU, mib(r.RSS), "now")
			b.ReportMetric(float64(share(r.Bytes, theirs.Bytes)), cell(mib(frame))+"MiB÷zstd-9")
			run(b, "rm", out)
		}
	})
}

// full is zstd -9 of the new image.
func (c cache) full(b testing.TB, p pair) (r result) {
	b.Helper()
	c.remember(b, p, "zstd", "zstd -9", func(file string) {
		r = resultOf(b, file, run(b, "zstd", "-q", "-f", "-9", "-T1", p.new, "-o", file))
	}, &r)
	return r
}
