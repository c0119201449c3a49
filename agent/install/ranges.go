package install

import (
	"slices"
	"sort"
)

// Extent is a run of bytes of an image.
type Extent struct {
	Offset int64 `json:"at"`
	Length int64 `json:"length"`
}

func (e Extent) end() int64 { return e.Offset + e.Length }

// ranges is a set of bytes: runs in their order, none of which touches another. Its methods leave the receiver as it is.
type ranges []Extent

// covers reports whether all bytes of e are in the set.
func (s ranges) covers(e Extent) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].end() >= e.end() })
	return e.Length == 0 || i < len(s) && s[i].Offset <= e.Offset
}

// with is the set and e.
func (s ranges) with(e Extent) ranges {
	if e.Length == 0 {
		return s
	}
	first := sort.Search(len(s), func(i int) bool { return s[i].end() >= e.Offset })
	after := first
	for ; after < len(s) && s[after].Offset <= e.end(); after++ {
		from, to := min(e.Offset, s[after].Offset), max(e.end(), s[after].end())
		e = Extent{from, to - from}
	}
	return slices.Concat(s[:first], ranges{e}, s[after:])
}

// without is the set less e.
func (s ranges) without(e Extent) ranges {
	if e.Length == 0 {
		return s
	}
	var rest ranges
	for _, r := range s {
		if before := min(r.end(), e.Offset) - r.Offset; before > 0 {
			rest = append(rest, Extent{r.Offset, before})
		}
		if from := max(r.Offset, e.end()); from < r.end() {
			rest = append(rest, Extent{from, r.end() - from})
		}
	}
	return rest
}

// total is the number of bytes in the set.
func (s ranges) total() (n int64) {
	for _, r := range s {
		n += r.Length
	}
	return n
}

// valid reports whether s is a set of bytes of an image of so many.
func (s ranges) valid(length int64) bool {
	end := int64(-1)
	for _, r := range s {
		if r.Length < 1 || r.Offset <= end || r.Offset > length-r.Length {
			return false
		}
		end = r.end()
	}
	return true
}
