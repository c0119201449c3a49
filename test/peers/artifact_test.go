package peers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware"
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
		r := resultOf(b, out, run(b, sign, "artifact", "build", p.new, out))
		t.add(p, "fairlead-sign artifact build", r.Bytes, share(r.Bytes, theirs.Bytes), r.CPU, mib(r.RSS), r.measured())
		b.ReportMetric(float64(share(r.Bytes, theirs.Bytes)), "bytes÷zstd-9")
		for frame := firmware.MaxFrameSize; frame >= 1<<18; frame /= 2 {
			must(b, os.Remove(out))
			e, err := firmware.EncodeFile(b.Context(), p.new, out, firmware.EncodeOptions{FrameSize: frame})
			must(b, err)
			n := e.Artifact.Length
			t.add(p, "frames of "+cell(mib(frame))+" MiB", n, share(n, theirs.Bytes), "", "", "now")
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
