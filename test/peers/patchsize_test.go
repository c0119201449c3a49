package peers

import (
	"math"
	"path/filepath"
	"testing"
)

// BenchmarkPatchSize: how large a patch is, and what making it takes.
func BenchmarkPatchSize(b *testing.B) {
	patchSizes(b, "Patch sizes: whole images", images, func(b testing.TB, p pair) []patcher {
		return []patcher{xdelta(), wideXdelta(b, p), zstdPatch()}
	})
}

// BenchmarkPatchSizeBinary is the same of single executables.
func BenchmarkPatchSizeBinary(b *testing.B) {
	patchSizes(b, "Patch sizes: single executables", executables, func(testing.TB, pair) []patcher {
		return []patcher{bsdiff(), xdelta(), zstdPatch()}
	})
}

func patchSizes(b *testing.B, title string, wanted func(pair) bool, peers func(testing.TB, pair) []patcher) {
	ours := fairleadPatcher(fairlead(b))
	c := openCache(b)
	t := newTable(title, "pair", "tool", "bytes", "fairlead ÷ it", "create CPU s", "fairlead ÷ it", "peak MiB", "measured")
	defer t.print()
	eachPair(b, wanted, func(b *testing.B, p pair) {
		scratch := c.scratch(b)
		file := filepath.Join(scratch, "patch")
		mine := resultOf(b, file, run(b, ours.create(p.old, p.new, file)...))
		checkPatch(b, p, ours, file, scratch)
		t.add(p, "fairlead", mine.Bytes, "", mine.CPU, "", mib(mine.RSS), mine.measured())
		best := int64(math.MaxInt64)
		for i, peer := range peers(b, p) {
			var r result
			if i == 0 { // with its time ours is compared: it is to have had the same machine
				r = c.patchNow(b, p, peer)
			} else {
				_, r = c.patch(b, p, peer)
			}
			best = min(best, r.Bytes)
			t.add(p, peer.name+" ("+r.Tool+")", r.Bytes, share(mine.Bytes, r.Bytes), r.CPU, share(mine.CPU, r.CPU), mib(r.RSS), r.measured())
			if i == 0 {
				b.ReportMetric(float64(share(mine.Bytes, r.Bytes)), "bytes÷"+peer.tool)
				b.ReportMetric(float64(share(mine.CPU, r.CPU)), "cpu÷"+peer.tool)
			}
		}
		b.ReportMetric(float64(share(mine.Bytes, best)), "bytes÷best-peer")
		b.ReportMetric(float64(mine.RSS)/(1<<20), "peak-MiB")
	})
}

func share[N ~int64](ours, theirs N) ratio { return ratio(float64(ours) / float64(theirs)) }
