package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const applyRounds = 5

// BenchmarkApply: how long the new image takes to make, out of the old one and a patch.
func BenchmarkApply(b *testing.B) {
	ours := fairleadPatcher(fairlead(b))
	c := openCache(b)
	t := newTable(fmt.Sprintf("Applying a patch: medians of %d rounds in turns, fsync included", applyRounds),
		"pair", "tool", "wall s", "fairlead ÷ it", "CPU s", "peak MiB")
	defer t.print()
	eachPair(b, images, func(b *testing.B, p pair) {
		scratch := c.scratch(b)
		contests := []*contest{{name: ours.name, by: ours, patch: filepath.Join(scratch, "patch")}}
		run(b, ours.create(p.old, p.new, contests[0].patch)...)
		for _, peer := range []patcher{xdelta(), zstdPatch()} {
			file, r := c.patch(b, p, peer)
			contests = append(contests, &contest{name: peer.name + " (" + r.Tool + ")", by: peer, patch: file})
		}
		applyInTurns(b, p, scratch, contests)
		wall, best := contests[0].wall(), time.Duration(0)
		for _, x := range contests {
			t.add(p, x.name, x.wall(), share(wall, x.wall()), x.cpu, mib(x.rss))
			if x != contests[0] && (best == 0 || x.wall() < best) {
				best = x.wall()
			}
		}
		b.ReportMetric(float64(share(wall, best)), "wall÷best-peer")
		b.ReportMetric(float64(contests[0].rss)/(1<<20), "peak-MiB")
	})
}

// contest is one who applies, and what it took so far.
type contest struct {
	name, patch string
	by          patcher
	walls       []time.Duration
	cpu         time.Duration // of the last round
	rss         int64         // the most of all rounds
}

func (x *contest) wall() time.Duration { return median(x.walls) }

func applyInTurns(b testing.TB, p pair, scratch string, contests []*contest) {
	b.Helper()
	out := filepath.Join(scratch, "applied")
	for round := range applyRounds {
		for i := range contests {
			x := contests[(i+round)%len(contests)]
			warm(b, p.old, x.patch)
			unix.Sync() // what others left to be written is not to be waited for
			u := run(b, x.by.apply(p.old, x.patch, out)...)
			x.walls = append(x.walls, u.Wall+fsync(b, out))
			x.cpu, x.rss = u.CPU, max(x.rss, u.RSS)
			if err := same(out, p.new); err != nil {
				b.Fatalf("%s gives another image: %v", x.name, err)
			}
			must(b, os.Remove(out))
		}
	}
}
