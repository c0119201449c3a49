package rollout

import (
	"cmp"
	"math"
	"slices"
)

// span is how many seconds count as one minute: one more, because the engine's seconds
// have no fractions.
const span = 61

// pace counts the directions of the last minute by the second. What lies ahead, because
// the clock went back, counts as well for a minute.
type pace struct {
	slots [span]Starts
}

// Starts is how many devices were directed in one second.
type Starts struct {
	At int64 `json:"at"` // seconds since 1970
	N  int   `json:"n"`
}

func (p *pace) add(now int64) {
	s := &p.slots[now%span]
	if s.At != now {
		*s = Starts{At: now}
	}
	s.N++
}

// left is how many more may be directed now, and when there will be more if there are none.
func (p *pace) left(now int64, limit int) (n int, again int64) {
	if limit == 0 {
		return math.MaxInt, 0
	}
	n = limit
	for _, s := range p.slots {
		if s.N > 0 && now-span < s.At && s.At < now+span {
			n -= s.N
			if again == 0 || s.At+span < again {
				again = s.At + span
			}
		}
	}
	return max(n, 0), again
}

func (p *pace) starts() (list []Starts) {
	newest := int64(0)
	for _, s := range p.slots {
		newest = max(newest, s.At)
	}
	for _, s := range p.slots {
		if s.N > 0 && s.At > newest-span {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Starts) int { return cmp.Compare(a.At, b.At) })
	return list
}

func (p *pace) load(list []Starts) {
	for _, s := range list {
		p.slots[((s.At%span)+span)%span] = s
	}
}
