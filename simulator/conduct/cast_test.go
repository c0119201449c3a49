package conduct

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/simulator/scenario"
)

func parsed(t *testing.T, faults string, seed uint64) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte(`
name: cast
units: 100
fleet: [{name: office, share: 70%}, {name: old, share: 30%, agent: 0.9.0}]
releases: [{version: 1.0.0}]
faults: [`+faults+`]
expect: [{bricked: none}]
`), "cast.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	s.Seed = seed
	return s
}

const faults = `{share: 10%, disk_full: true}, {count: 5, of: old, unhealthy: "*"}, {count: 4, clone: true}`

// TestCastIsOfItsSeed: one seed is one cast, another seed another.
func TestCastIsOfItsSeed(t *testing.T) {
	a, err := newCast(parsed(t, faults, 1))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := newCast(parsed(t, faults, 1))
	other, _ := newCast(parsed(t, faults, 2))
	if !reflect.DeepEqual(a.roles, again.roles) || reflect.DeepEqual(a.roles, other.roles) {
		t.Error("the cast does not follow from the seed")
	}
	full, sick, victims := 0, 0, map[int]bool{}
	for _, r := range a.roles {
		switch {
		case r.unit.CloneOf > 0:
			victims[r.unit.CloneOf] = true
			if a.roles[r.unit.CloneOf-1].kind == cloneKind {
				t.Error("a clone of a clone")
			}
		case r.unit.Faults.Full:
			full++
		case r.unit.Faults.Unhealthy == "*":
			if sick++; r.kind != "old" {
				t.Errorf("a unit of kind %s has the fault of the old ones", r.kind)
			}
		}
	}
	if full != 10 || sick != 5 || len(victims) != 4 || len(a.of("")) != 96 {
		t.Errorf("%d full, %d sick, %d with a clone, %d that count", full, sick, len(victims), len(a.of("")))
	}
}

func TestCastRunsOutOfUnits(t *testing.T) {
	_, err := newCast(parsed(t, `{share: 80%, disk_full: true}, {share: 30%, clone: true}`, 1))
	if err == nil || !strings.Contains(err.Error(), "faults.1") {
		t.Errorf("more faults than units: %v", err)
	}
}

func TestMetricsAreSummedUp(t *testing.T) {
	m, err := parseMetrics(strings.NewReader("# HELP a b\n# TYPE a counter\na{route=\"x y\",code=\"200\"} 3\na{route=\"z\"} 4\nb 1.5e2\nbroken\n"))
	if err != nil || m["a"] != 7 || m["b"] != 150 || len(m) != 2 {
		t.Errorf("%v, %v", m, err)
	}
}
