package conduct

import (
	"fmt"
	"math/rand/v2"

	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// cloneKind is the kind of units that are copies of others.
const cloneKind = "clone"

// role is what a unit plays.
type role struct {
	kind  string
	unit  fleet.Unit
	fault bool
}

// cast says who plays what. It depends on the scenario and its seed alone.
type cast struct {
	s     *scenario.Scenario
	rand  *rand.Rand
	roles []role // of unit n at n-1
}

func newCast(s *scenario.Scenario) (*cast, error) {
	c := &cast{s: s, rand: rand.New(rand.NewPCG(s.Seed, 99)), roles: make([]role, s.Units)}
	order, next := c.rand.Perm(s.Units), 0
	for i, k := range s.Fleet {
		n := k.Share.Of(s.Units)
		if i == 0 || next+n > s.Units {
			n = min(n, s.Units-next)
		}
		for range n {
			c.roles[order[next]] = c.role(k)
			next++
		}
	}
	for ; next < s.Units; next++ {
		c.roles[order[next]] = c.role(s.Fleet[0])
	}
	for i, f := range s.Faults {
		if err := c.strike(f); err != nil {
			return nil, fmt.Errorf("faults.%d: %w", i, err)
		}
	}
	return c, nil
}

func (c *cast) role(k scenario.Kind) role {
	u := k.Unit()
	u.Line, u.Transports = c.s.Networks[k.Network].Class(), []string{}
	if k.Transport != "poll" {
		u.Transports = []string{k.Transport}
	}
	return role{kind: k.Name, unit: u}
}

// strike gives a fault to units that have none yet.
func (c *cast) strike(f scenario.Fault) error {
	chosen, err := c.draw(f.Some, func(r role) bool { return !r.fault })
	if err != nil {
		return err
	}
	for _, n := range chosen {
		c.roles[n-1].fault = true
	}
	for _, n := range chosen {
		r := &c.roles[n-1]
		r.unit.Faults = f.Faults(r.unit.Faults)
		r.unit.Line = spoiled(r.unit.Line, f)
		if f.Clone {
			if err := c.clone(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cast) clone(n int) error {
	victims, err := c.draw(scenario.Some{Count: 1}, func(r role) bool { return !r.fault })
	if err != nil {
		return fmt.Errorf("whom the clones are clones of: %w", err)
	}
	c.roles[victims[0]-1].fault = true // one clone each
	c.roles[n-1].kind, c.roles[n-1].unit.CloneOf = cloneKind, victims[0]
	return nil
}

func spoiled(line network.Class, f scenario.Fault) network.Class {
	if f.Corrupt > 0 {
		line.Corrupt = int64(f.Corrupt)
	}
	if f.Clear {
		line.Corrupt = 0
	}
	return line
}

// draw chooses some units, by their numbers.
func (c *cast) draw(s scenario.Some, fit func(role) bool) ([]int, error) {
	var all, fitting []int
	for i, r := range c.roles {
		if s.Of == "" && r.kind != cloneKind || r.kind == s.Of {
			all = append(all, i+1)
			if fit(r) {
				fitting = append(fitting, i+1)
			}
		}
	}
	n := s.Count
	if n == 0 {
		n = s.Share.Of(len(all))
	}
	if n > len(fitting) {
		return nil, fmt.Errorf("%d units are wanted and %d are left: make the shares smaller, or the fleet larger", n, len(fitting))
	}
	c.rand.Shuffle(len(fitting), func(a, b int) { fitting[a], fitting[b] = fitting[b], fitting[a] })
	return fitting[:n], nil
}

// of lists the units of a kind; all but clones for "".
func (c *cast) of(kind string) (units []int) {
	for i, r := range c.roles {
		if r.kind == kind || kind == "" && r.kind != cloneKind {
			units = append(units, i+1)
		}
	}
	return units
}
