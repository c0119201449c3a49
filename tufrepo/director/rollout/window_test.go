package rollout

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func location(t rapid.TB, name string) *time.Location {
	t.Helper()
	at, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func window(t testing.TB, from, to string, days ...string) Window {
	t.Helper()
	var w Window
	for text, v := range map[string]*Clock{from: &w.From, to: &w.To} {
		if err := v.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range days {
		var d Day
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		w.Days = append(w.Days, d)
	}
	return w
}

// Spans are told in UTC, so that the wall's clock cannot hide anything.
func TestWindows(t *testing.T) {
	night := window(t, "22:00", "05:00")
	for _, c := range []struct {
		name, zone string
		windows    []Window
		from, to   string   // what is looked at, UTC
		open       []string // "from to" of every span
	}{
		{"plain day", "Asia/Kolkata", []Window{window(t, "09:00", "17:30")}, "2026-03-29T00:00", "2026-03-31T00:00",
			[]string{"2026-03-29T03:30 2026-03-29T12:00", "2026-03-30T03:30 2026-03-30T12:00"}},
		{"over midnight", "Asia/Kolkata", []Window{night}, "2026-03-29T00:00", "2026-03-30T00:00",
			[]string{"2026-03-29T16:30 2026-03-29T23:30"}},
		{"days are those of the beginning", "Europe/Berlin", []Window{window(t, "22:00", "05:00", "fri", "sat")}, "2026-01-08T00:00", "2026-01-13T00:00",
			[]string{"2026-01-09T21:00 2026-01-10T04:00", "2026-01-10T21:00 2026-01-11T04:00"}},
		{"to midnight, and from it", "Europe/Berlin", []Window{window(t, "22:00", "24:00"), window(t, "00:00", "02:00", "mon")}, "2026-01-04T00:00", "2026-01-06T00:00",
			[]string{"2026-01-04T21:00 2026-01-05T01:00", "2026-01-05T21:00 2026-01-05T23:00"}},
		{"several that overlap", "UTC", []Window{window(t, "01:00", "03:00"), window(t, "02:00", "04:00"), window(t, "12:00", "13:00", "sun")}, "2026-01-04T00:00", "2026-01-05T03:00",
			[]string{"2026-01-04T01:00 2026-01-04T04:00", "2026-01-04T12:00 2026-01-04T13:00", "2026-01-05T01:00 2026-01-05T03:00"}},
		{"spring: the night is an hour shorter", "Europe/Berlin", []Window{night}, "2026-03-28T12:00", "2026-03-29T12:00",
			[]string{"2026-03-28T21:00 2026-03-29T03:00"}},
		{"spring: a window that does not exist", "Europe/Berlin", []Window{window(t, "02:15", "02:45")}, "2026-03-28T00:00", "2026-03-31T00:00",
			[]string{"2026-03-28T01:15 2026-03-28T01:45", "2026-03-30T00:15 2026-03-30T00:45"}},
		{"spring: it begins in the gap", "Europe/Berlin", []Window{window(t, "02:30", "04:00")}, "2026-03-29T00:00", "2026-03-29T12:00",
			[]string{"2026-03-29T01:00 2026-03-29T02:00"}},
		{"spring: it ends in the gap", "Europe/Berlin", []Window{window(t, "01:00", "02:30")}, "2026-03-29T00:00", "2026-03-29T12:00",
			[]string{"2026-03-29T00:00 2026-03-29T01:00"}},
		{"autumn: the night is an hour longer", "Europe/Berlin", []Window{night}, "2026-10-24T12:00", "2026-10-25T12:00",
			[]string{"2026-10-24T20:00 2026-10-25T04:00"}},
		{"autumn: a window that exists twice", "Europe/Berlin", []Window{window(t, "02:15", "02:45")}, "2026-10-25T00:00", "2026-10-25T12:00",
			[]string{"2026-10-25T00:15 2026-10-25T00:45", "2026-10-25T01:15 2026-10-25T01:45"}},
		{"autumn: it is cut in two", "Europe/Berlin", []Window{window(t, "01:00", "02:30")}, "2026-10-24T20:00", "2026-10-25T12:00",
			[]string{"2026-10-24T23:00 2026-10-25T00:30", "2026-10-25T01:00 2026-10-25T01:30"}},
		{"New York, spring", "America/New_York", []Window{window(t, "02:00", "03:00"), night}, "2026-03-07T12:00", "2026-03-09T04:00",
			[]string{"2026-03-08T03:00 2026-03-08T09:00", "2026-03-09T02:00 2026-03-09T04:00"}},
		{"New York, autumn", "America/New_York", []Window{window(t, "01:30", "01:45")}, "2026-11-01T00:00", "2026-11-01T12:00",
			[]string{"2026-11-01T05:30 2026-11-01T05:45", "2026-11-01T06:30 2026-11-01T06:45"}},
		// Lord Howe puts the clock forward and back by half an hour only.
		{"Lord Howe, spring", "Australia/Lord_Howe", []Window{window(t, "01:45", "02:15")}, "2026-10-03T00:00", "2026-10-04T12:00",
			[]string{"2026-10-03T15:15 2026-10-03T15:30"}},
		{"Lord Howe, autumn", "Australia/Lord_Howe", []Window{window(t, "01:15", "01:45")}, "2026-04-04T00:00", "2026-04-05T12:00",
			[]string{"2026-04-04T14:15 2026-04-04T14:45", "2026-04-04T15:00 2026-04-04T15:15"}},
		// The clock goes forward at midnight: the day begins at 01:00.
		{"a day without midnight", "Asia/Beirut", []Window{window(t, "00:00", "02:00", "sun")}, "2026-03-28T00:00", "2026-03-29T12:00",
			[]string{"2026-03-28T22:00 2026-03-28T23:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := spans(t, newCalendar(c.windows, location(t, c.zone)), minute(t, c.from), minute(t, c.to))
			if len(got) != len(c.open) {
				t.Fatalf("open %q\nwant %q", got, c.open)
			}
			for i := range got {
				if got[i] != c.open[i] {
					t.Errorf("open %s\nwant %s", got[i], c.open[i])
				}
			}
		})
	}
}

const minutes = "2006-01-02T15:04"

func minute(t testing.TB, text string) int64 {
	t.Helper()
	at, err := time.Parse(minutes, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

func spans(t testing.TB, c *calendar, from, to int64) (list []string) {
	for now := from; now < to; {
		open, until := c.at(now)
		if until <= now {
			t.Fatalf("at %d until %d", now, until)
		}
		until = min(until, to)
		if open {
			list = append(list, time.Unix(now, 0).UTC().Format(minutes)+" "+time.Unix(until, 0).UTC().Format(minutes))
		}
		now = until
	}
	return list
}

func TestWithoutWindowsItIsAlwaysOpen(t *testing.T) {
	if open, until := newCalendar(nil, time.UTC).at(1); !open || until != 0 {
		t.Fatal(open, until)
	}
}

// The calendar answers as somebody would who looks at the wall every minute, also when
// it is asked in any order.
func TestCalendarReadsTheWall(t *testing.T) {
	changes := map[string][]string{
		"Europe/Berlin": {"2026-03-29T01:00", "2026-10-25T01:00"}, "America/New_York": {"2026-03-08T07:00", "2026-11-01T06:00"},
		"Australia/Lord_Howe": {"2026-04-04T15:00", "2026-10-03T15:30"}, "Asia/Kolkata": {"2026-06-01T00:00"},
		"Asia/Beirut": {"2026-03-28T22:00", "2026-10-24T21:00"}, "Pacific/Apia": {"2011-12-30T10:00"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Beirut", "Pacific/Apia"}).Draw(rt, "zone")
		around := minute(t, rapid.SampledFrom(changes[zone]).Draw(rt, "change"))
		var windows []Window
		for range rapid.IntRange(1, 3).Draw(rt, "windows") {
			w := Window{From: Clock(rapid.IntRange(0, 1439).Draw(rt, "from")), To: Clock(rapid.IntRange(0, 1440).Draw(rt, "to"))}
			w.Days = rapid.SliceOfNDistinct(rapid.Custom(func(rt *rapid.T) Day { return Day(rapid.IntRange(0, 6).Draw(rt, "day")) }), 0, 4, rapid.ID).Draw(rt, "days")
			if w.From != w.To {
				windows = append(windows, w)
			}
		}
		if len(windows) == 0 {
			return
		}
		at := location(rt, zone)
		wall := func(now int64) bool {
			for _, w := range windows {
				if within(w, time.Unix(now, 0).In(at)) {
					return true
				}
			}
			return false
		}
		c := newCalendar(windows, at)
		for range 6 {
			now := around + int64(rapid.IntRange(-2*day, 2*day).Draw(rt, "now"))
			open, until := c.at(now)
			if open != wall(now) {
				rt.Fatalf("%v: open %v", time.Unix(now, 0).In(at), open)
			}
			for m := now - now%60 + 60; m < min(until, now+day); m += 60 {
				if wall(m) != open {
					rt.Fatalf("%v until %v, but at %v %v", open, time.Unix(until, 0).In(at), time.Unix(m, 0).In(at), !open)
				}
			}
			if until < now+horizon/2 && wall(until) == open {
				rt.Fatalf("nothing changes at %v", time.Unix(until, 0).In(at))
			}
		}
	})
}
