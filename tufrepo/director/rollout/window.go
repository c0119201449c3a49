package rollout

import (
	"slices"
	"time"
)

const day = 24 * 60 * 60

// horizon is how far a calendar looks ahead. Every window that opens at all does so
// sooner, also one that a change of the clock leaves out once.
const horizon = 30 * day

// calendar says when the windows of a plan are open in one time zone. A window is open
// while the clock on the wall shows a time within it. So one that a spring night leaves
// out does not come that night, one that is cut by it is shorter, and an hour that an
// autumn night has twice is in it twice.
type calendar struct {
	windows []Window
	zone    *time.Location
	edges   []int64 // seconds of the day at which anything may change

	from, to int64 // for these moments the answer is known
	open     bool
}

func newCalendar(windows []Window, zone *time.Location) *calendar {
	c := &calendar{windows: windows, zone: zone, edges: []int64{day}}
	for _, w := range windows {
		c.edges = append(c.edges, int64(w.From)*60, int64(w.To)*60)
	}
	slices.Sort(c.edges)
	c.edges = slices.Compact(c.edges)
	return c
}

// at says whether a window is open now, and when that changes; later than every time of
// interest where it does not. Without windows it is always open.
func (c *calendar) at(now int64) (open bool, until int64) {
	if len(c.windows) == 0 {
		return true, 0
	}
	if now < c.from || now >= c.to {
		c.from, c.open = now, c.isOpen(now)
		for c.to = c.edge(now); c.to < now+horizon && c.isOpen(c.to) == c.open; {
			c.to = c.edge(c.to)
		}
	}
	return c.open, c.to
}

func (c *calendar) isOpen(now int64) bool {
	t := time.Unix(now, 0).In(c.zone)
	today := Day(t.Weekday())
	yesterday := (today + 6) % 7
	minute := Clock(t.Hour()*60 + t.Minute())
	return slices.ContainsFunc(c.windows, func(w Window) bool {
		if w.From < w.To {
			return w.on(today) && w.From <= minute && minute < w.To
		}
		return w.on(today) && w.From <= minute || w.on(yesterday) && minute < w.To
	})
}

func (w Window) on(d Day) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }

// edge is the next moment at which a window may open or close: the wall's clock reaches
// an end of one, or midnight, or is put forward or back.
func (c *calendar) edge(now int64) int64 {
	t := time.Unix(now, 0).In(c.zone)
	hour, minute, second := t.Clock()
	seconds := int64(hour*3600 + minute*60 + second)
	i, found := slices.BinarySearch(c.edges, seconds)
	if found {
		i++
	}
	next := now + c.edges[i] - seconds
	if _, change := t.ZoneBounds(); !change.IsZero() && change.Unix() > now && change.Unix() < next {
		return change.Unix()
	}
	return next
}
