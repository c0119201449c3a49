//go:build !race

package crash

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware/durable"
)

// TestEverySyncOfThePublisherIsNeeded leaves out each sync, as TestEverySyncIsNeeded does.
func TestEverySyncOfThePublisherIsNeeded(t *testing.T) {
	found, order := map[string]string{}, []string(nil)
	for _, job := range jobs {
		p := newPress(t)
		work := job.work(p)
		saved := t.TempDir()
		p.ok(os.CopyFS(saved, os.DirFS(p.path("repo"))))
		s := &sites{count: map[string]int{}}
		run := func(drop string) *Disk {
			p.ok(os.RemoveAll(p.path("repo")))
			p.ok(os.CopyFS(p.path("repo"), os.DirFS(saved)))
			p.ok(private(p.path("repo", "state", "keys")))
			tee, err := NewTee(p.path("repo"))
			p.ok(err)
			tee.disk.drop, tee.disk.sites = drop, s
			p.ok(work(p.path("repo"), durable.Disk{FS: tee}))
			return tee.disk
		}
		run("")
		for _, site := range slices.Sorted(maps.Keys(s.count)) {
			if found[site] != "" {
				continue
			}
			if _, known := found[site]; !known {
				order = append(order, site)
			}
			disk := run(site)
			found[site] = ""
			disk.Mark("done")
			disk.Enumerate(Bounds{All: 4, Samples: 10, Tears: 1, Seed: *seed}, func(state *State) bool {
				sees := p.devices(state.Medium)
				done := len(state.Promises) > 0
				if sees != job.new && (done || sees != job.old) {
					found[site] = fmt.Sprintf("%s: devices see %.60q", job.name, sees)
				}
				return found[site] == ""
			})
		}
	}
	killed := 0
	var table strings.Builder
	for _, site := range order {
		by := found[site]
		switch {
		case by != "":
			killed++
		case commented(t, site):
			by = "nothing: a comment says why"
		default:
			t.Errorf("nothing notices that the sync of %s is left out", site)
			by = "NOTHING"
		}
		fmt.Fprintf(&table, "\n  %-75s %s", site, by)
	}
	if len(order) < 5 {
		t.Errorf("only %d sites: the test is blind", len(order))
	}
	t.Logf("publisher: %d syncs by the line, %d found when left out%s", len(order), killed, table.String())
}
