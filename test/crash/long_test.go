//go:build long

package crash

import (
	"slices"
	"strings"
)

// publishAgain: on one in so many media the publisher does its work again.
const publishAgain = 1

// tryCommented: syncs that a comment calls not needed are left out as well, to see whether that is still so.
const tryCommented = true

// faultStep: one operation in so many fails.
const faultStep = 1

// beginnings are all scenarios, and those in which something is rotten as well.
func beginnings() []scenario {
	all := scenarios()
	return append(all, rottenToo(all)...)
}

// depths are how far the exploration goes, and how many distinct media are wanted of it.
func depths() (bounds []Bounds, arrive, want int) {
	return []Bounds{
		{All: 8, Samples: 60, Tears: 6, Seed: *seed},
		{All: 5, Samples: 10, Tears: 2, Of: 1, Seed: *seed},
		{All: 3, Samples: 2, Tears: 1, Of: 400, Seed: *seed},
	}, 40, 1_000_000
}

// alone says whether a file is one of two copies, and the other was never written.
func alone(m *Medium, name string) bool {
	other, ok := strings.CutSuffix(name, ".0")
	if other += ".1"; !ok {
		if other, ok = strings.CutSuffix(name, ".1"); !ok {
			return false
		}
		other += ".0"
	}
	_, err := m.ReadFile(other)
	return err != nil
}

// rottenToo are beginnings to which rot was added. What says which slot runs is left: without it an agent whose other slot is
// on trial does nothing before the next start, at which the bootloader says it anew.
func rottenToo(all []scenario) (both []scenario) {
	for _, sc := range all {
		if sc.fault != nil || sc.kind != fileBoot || strings.HasPrefix(sc.name, "rot") || strings.HasPrefix(sc.name, "counters") {
			continue
		}
		for what, files := range rots {
			if what == "running" {
				continue
			}
			both = append(both, scenario{name: sc.name + ", rot in the " + what, lostOK: sc.lostOK || what == "boot copies",
				make: func(b *builder) *Medium {
					m := sc.make(b)
					if len(files) == 1 && alone(m, files[0]) {
						return m
					}
					return rotten(m, files...)
				}})
		}
	}
	slices.SortFunc(both, func(a, b scenario) int { return strings.Compare(a.name, b.name) })
	return both
}
