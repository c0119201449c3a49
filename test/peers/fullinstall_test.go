package peers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const installRounds = 3

// BenchmarkFullInstall: a whole image into a block device that holds nothing of use.
func BenchmarkFullInstall(b *testing.B) {
	c := openCache(b)
	t := newTable(fmt.Sprintf("Full installs into a loop device: medians of %d rounds in turns, fsync included", installRounds),
		"pair", "installer", "carried MiB", "wall s", "least", "most", "CPU s", "peak MiB")
	defer t.print()
	t.note("the agent checks every frame, and reads the whole slot back before it calls it installed; the others do not read back")
	t.note("HTTPS is of Fairlead's own service, HTTP of this process; both share the processor with the installer")
	t.note("peak MiB is that of the largest process; of rauc, its service")
	eachPair(b, named("deb-year"), func(b *testing.B, p pair) {
		s := newSlot(b, c, slotSize(size(b, p.new)))
		all := append(fairleadInstallers(b, c, p, s), swupdates(b, c, p, s)...)
		all = append(all, raucInstaller(b, c, p, s), casyncInstaller(b, c, p, s), copyDD(b, p, s))
		took := installInTurns(b, p, s, all)
		for i, in := range all {
			walls := took[i].walls
			t.add(p, in.name, mib(in.carried), median(walls), slices.Min(walls), slices.Max(walls), took[i].cpu, mib(took[i].rss))
		}
		reportInstalls(b, all, took)
	})
}

// taken is what an installer took so far.
type taken struct {
	walls []time.Duration
	cpu   time.Duration // of the last round
	rss   int64         // the most of all rounds
}

func installInTurns(b testing.TB, p pair, s slot, all []installer) []taken {
	b.Helper()
	took := make([]taken, len(all))
	for round := range installRounds {
		for i := range all {
			i = (i + round) % len(all)
			s.spoil(b)
			if same(s.device, p.new) == nil {
				b.Fatal("the slot has the new image before the install")
			}
			warm(b, p.new)
			unix.Sync()
			u := all[i].install()
			wall := u.Wall + fsync(b, s.device)
			if err := same(s.device, p.new); err != nil {
				b.Fatalf("%s: %v", all[i].name, err)
			}
			took[i] = taken{append(took[i].walls, wall), u.CPU, max(took[i].rss, u.RSS)}
		}
	}
	return took
}

// reportInstalls compares the agent with the fastest peer, over the network and from a file.
func reportInstalls(b *testing.B, all []installer, took []taken) {
	b.Helper()
	for remote, ours := range map[bool]int{true: 0, false: 1} {
		var best time.Duration
		for i, in := range all[2 : len(all)-1] { // neither the agent nor the floor
			if w := median(took[i+2].walls); in.remote == remote && (best == 0 || w < best) {
				best = w
			}
		}
		unit := map[bool]string{true: "remote÷best-peer", false: "file÷best-peer"}[remote]
		b.ReportMetric(float64(share(median(took[ours].walls), best)), unit)
	}
	b.ReportMetric(float64(took[0].rss)/(1<<20), "peak-MiB")
}
