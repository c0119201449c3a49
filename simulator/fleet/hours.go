package fleet

import (
	"slices"
	"time"

	"github.com/fairlead/fairlead/simulator/network"
)

// Hours are when people use a unit. The zero value is never.
//
// They are those of the clock on the wall in Zone: what a spring night leaves out is not used, what an autumn night has twice is
// used twice.
type Hours struct {
	From, To time.Duration  // since midnight; To at or before From is on the day after
	Days     []time.Weekday // on which they begin; none is every day
	Zone     *time.Location // nil is UTC
	Meeting  time.Duration  // what the hours are cut into; 0 is one for the whole of them
	Used     float64        // share of the meetings that take place, 0 to 1; which ones is drawn for each unit
}

// ahead is how many days are looked at for the next meeting.
const ahead = 15

// Next is the meeting that takes place at t, or the first one after it. It is ok unless none begins within two weeks.
func (h Hours) Next(seed uint64, t time.Time) (from, to time.Time, ok bool) {
	if h.Used <= 0 {
		return t, t, false
	}
	zone := h.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := t.In(zone)
	for i := -1; i < ahead; i++ {
		day := time.Date(local.Year(), local.Month(), local.Day()+i, 0, 0, 0, 0, zone)
		if len(h.Days) > 0 && !slices.Contains(h.Days, day.Weekday()) {
			continue
		}
		if from, to, ok := h.first(seed, day, t); ok {
			return from, to, true
		}
	}
	return t, t, false
}

// first is the first meeting of a day that does not end before t.
func (h Hours) first(seed uint64, day, t time.Time) (from, to time.Time, ok bool) {
	opens, closes := onWall(day, h.From), onWall(day, h.To)
	if h.To <= h.From {
		closes = onWall(day, h.To+24*time.Hour)
	}
	length := h.Meeting
	if length <= 0 {
		length = max(closes.Sub(opens), 1)
	}
	n := max(0, t.Sub(opens)/length)
	for from = opens.Add(n * length); from.Before(closes); from = from.Add(length) {
		if to = from.Add(length); to.After(closes) {
			to = closes
		}
		if to.After(t) && (h.Used >= 1 || network.Dice(seed, uint64(from.UnixNano())) < h.Used) {
			return from, to, true
		}
	}
	return t, t, false
}

// onWall is when the clock on the wall shows so much since midnight of a day.
func onWall(day time.Time, since time.Duration) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, int(since), day.Location())
}

// InUse reports whether a meeting takes place at t.
func (h Hours) InUse(seed uint64, t time.Time) bool {
	from, _, ok := h.Next(seed, t)
	return ok && !from.After(t)
}

// Free is the first moment, t or after it, from which nobody uses the unit for d. Where there is none within two weeks it is
// the end of a meeting after them.
func (h Hours) Free(seed uint64, t time.Time, d time.Duration) time.Time {
	for last := t.AddDate(0, 0, ahead); ; {
		from, to, ok := h.Next(seed, t)
		if !ok || from.Sub(t) >= d || t.After(last) {
			return t
		}
		t = to
	}
}
