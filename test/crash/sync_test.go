//go:build !race

// The race detector would make these ten times as slow; make test runs them without.

package crash

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEverySyncIsNeeded leaves out each sync of a file, a folder or a slot, by the line that asks for it, one at a time: the
// exploration must find what that costs, or a comment at the line says "not needed for" and what it is for.
func TestEverySyncIsNeeded(t *testing.T) {
	w := newWorld(t)
	killed, spared := 0, 0
	beginnings := w.syncBeginnings(t)
	all := syncSites(t, w, beginnings)
	var table strings.Builder
	for _, site := range slices.Sorted(maps.Keys(all)) {
		by := ""
		if tryCommented || !commented(t, site) {
			by = w.without(beginnings, site)
		}
		switch {
		case by != "":
			killed++
		case commented(t, site):
			spared++
			by = "nothing: a comment says why"
		default:
			t.Errorf("nothing notices that the sync of %s is left out", site)
			by = "NOTHING"
		}

		fmt.Fprintf(&table, "\n  %-75s %5d  %s", site, all[site], by)
	}
	t.Logf("agent: %d syncs by the line, %d found when left out, %d with a reason, %d%%%s", len(all), killed, spared, 100*(killed+spared)/len(all), table.String())
	if len(all) < 15 {
		t.Errorf("only %d sites: the test is blind", len(all))
	}
}

// syncBeginnings are those that show what a sync is for, the likeliest first.
func (w *world) syncBeginnings(t *testing.T) []beginning {
	var all []beginning
	for _, name := range []string{"other slot older", "half written", "rot in the outbox", "bootloader new", "other slot empty",
		"grub, other slot older", "uboot, other slot older"} {
		i := slices.IndexFunc(scenarios(), func(s scenario) bool { return s.name == name })
		sc := scenarios()[i]
		m := sc.make(&builder{world: w, t: t, kind: sc.kind})
		for _, target := range []*Image{w.newer, w.bad} {
			all = append(all, beginning{sc, target, m})
		}
	}
	return all
}

type beginning struct {
	scenario
	target *Image
	medium *Medium
}

// syncSites counts the sites that sync in any of the beginnings.
func syncSites(t *testing.T, w *world, all []beginning) map[string]int {
	s := &sites{count: map[string]int{}}
	for _, b := range all {
		d := w.device(b.target)
		d.sites, d.Kind = s, b.kind
		if err := d.life(b.medium, "first, boot ").first(nil); err != nil {
			t.Fatal(err)
		}
	}
	return s.count
}

// without explores the beginnings without a sync, until something is wrong; it says what.
func (w *world) without(all []beginning, site string) string {
	for _, b := range all {
		d := w.device(b.target)
		d.drop, d.Kind = site, b.kind
		l := d.life(b.medium, "first, boot ")
		if err := l.first(nil); err != nil {
			return fmt.Sprintf("%s, to %s: %.60v", b.name, b.target.Version, err)
		}
		x := &Explorer{Device: d, Seen: NewSeen(), Workers: 2, Arrive: 100, Bounds: []Bounds{{All: 4, Samples: 4, Tears: 1, Seed: *seed}}}
		if err := x.Explore(l); err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			return fmt.Sprintf("%s, to %s: %.90s", b.name, b.target.Version, first)
		}
	}
	return ""
}

// commented looks for a comment that excuses one of the lines of a site.
func commented(t *testing.T, site string) bool {
	for _, at := range strings.Split(site, " < ") {
		name, line, _ := strings.Cut(at, ":")
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for i := 1; lines.Scan(); i++ {
			if i >= n-2 && i <= n && strings.Contains(lines.Text(), "not needed for") {
				f.Close()
				return true
			}
		}
		f.Close()
	}
	return false
}
