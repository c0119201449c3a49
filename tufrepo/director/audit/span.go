package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// Span is a range of row numbers, both included. It is empty where To is below From.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func (s Span) String() string {
	if s.From == s.To {
		return fmt.Sprintf("row %d", s.From)
	}
	return fmt.Sprintf("rows %d to %d", s.From, s.To)
}

func (s Span) holds(seq int64) bool { return s.From <= seq && seq <= s.To }

// minus is what of s is in none of taken, in order.
func minus(s Span, taken []Span) []Span {
	var free []Span
	for _, t := range sorted(taken) {
		if t.To < s.From || t.From > s.To {
			continue
		}
		if s.From < t.From {
			free = append(free, Span{s.From, t.From - 1})
		}
		s.From = t.To + 1
	}
	if s.From <= s.To {
		free = append(free, s)
	}
	return free
}

// merge puts those together that touch.
func merge(all []Span) []Span {
	var out []Span
	for _, s := range sorted(all) {
		if n := len(out); n > 0 && s.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// sorted drops empty ones.
func sorted(all []Span) []Span {
	all = slices.DeleteFunc(slices.Clone(all), func(s Span) bool { return s.From > s.To })
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	return all
}
