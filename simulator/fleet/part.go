package fleet

import (
	"fmt"
	"path/filepath"
)

// Part is the share of a fleet that one process has: of every Of units the one at place At. Units that come one after the other are in
// different parts, so that all of them come up together. The zero value is the whole fleet.
//
// The parts of a fleet share its folder and nothing else; each has a lock and a store of its own, such as store-2.
type Part struct {
	At int `json:"at"` // 0 to Of-1
	Of int `json:"of"` // 0 is 1
}

func (p Part) of() int { return max(p.Of, 1) }

func (p Part) check(units int) error {
	if p.At < 0 || p.At >= p.of() || p.of() > units {
		return fmt.Errorf("part %d of %d of a fleet of %d units: every part wants a unit", p.At+1, p.of(), units)
	}
	return nil
}

// Has reports whether unit n, counted from 1, is in the part.
func (p Part) Has(n int) bool { return (n-1)%p.of() == p.At }

// Numbers are the units of the part, of a fleet of so many.
func (p Part) Numbers(units int) (all []int) {
	for n := p.At + 1; n <= units; n += p.of() {
		all = append(all, n)
	}
	return all
}

// own is a path in the fleet's folder that no other part has.
func (p Part) own(dir, name string) string {
	if p.of() > 1 {
		name = fmt.Sprintf("%s-%d", name, p.At+1)
	}
	return filepath.Join(dir, name)
}

// unit is unit n, which must be in this fleet's part.
func (f *Fleet) unit(n int) *unit { return f.units[(n-1)/f.cfg.Part.of()] }

// Numbers are those of the units that this process has.
func (f *Fleet) Numbers() []int { return f.cfg.Part.Numbers(f.cfg.Units) }
