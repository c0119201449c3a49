package fleet

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	return zone
}

// TestHours: when a unit is in use, and from when it is free for an hour. 2026-01-05 is a Monday.
func TestHours(t *testing.T) {
	office := Hours{From: 8 * time.Hour, To: 18 * time.Hour, Zone: berlin(t), Used: 1, Days: []time.Weekday{1, 2, 3, 4, 5}}
	night := Hours{From: 22 * time.Hour, To: 6 * time.Hour, Used: 1, Days: []time.Weekday{time.Monday}}
	always := Hours{To: 24 * time.Hour, Used: 1, Meeting: time.Hour}
	for _, c := range []struct {
		name  string
		hours Hours
		at    string // UTC
		used  bool
		free  string
	}{
		{"never", Hours{}, "2026-01-05T12:00", false, "2026-01-05T12:00"},
		{"before", office, "2026-01-05T05:59", false, "2026-01-05T05:59"},
		{"soon", office, "2026-01-05T06:01", false, "2026-01-05T17:00"},
		{"begins", office, "2026-01-05T07:00", true, "2026-01-05T17:00"},
		{"ends", office, "2026-01-05T17:00", false, "2026-01-05T17:00"},
		{"weekend", office, "2026-01-10T12:00", false, "2026-01-10T12:00"},
		{"summer", office, "2026-07-06T06:00", true, "2026-07-06T16:00"},
		{"over midnight", night, "2026-01-06T05:59", true, "2026-01-06T06:00"},
		{"the night after", night, "2026-01-06T23:00", false, "2026-01-06T23:00"},
		{"a day when the clock is put forward", Hours{To: 24 * time.Hour, Zone: berlin(t), Used: 1, Days: []time.Weekday{0}}, "2026-03-29T21:59", true, "2026-03-29T22:00"},
		{"always", always, "2026-01-05T12:00", true, "2026-01-20T13:00"},
	} {
		at, err := time.Parse("2006-01-02T15:04", c.at)
		must(t, err)
		if used, free := c.hours.InUse(1, at), c.hours.Free(1, at, time.Hour).UTC().Format("2006-01-02T15:04"); used != c.used || free != c.free {
			t.Errorf("%s: in use %v, free from %s; want %v, %s", c.name, used, free, c.used, c.free)
		}
	}
}

// TestMeetingsAreDrawn: of the hours the share is used that was asked for, another part of them by each unit, and the same again.
func TestMeetingsAreDrawn(t *testing.T) {
	h := Hours{From: 8 * time.Hour, To: 18 * time.Hour, Used: 0.6, Meeting: 45 * time.Minute}
	picture := func(seed uint64) string {
		var b strings.Builder
		for at := time.Unix(0, 0).UTC(); b.Len() < 24*4*50; at = at.Add(15 * time.Minute) {
			b.WriteByte("-x"[map[bool]int{true: 1}[h.InUse(seed, at)]])
		}
		return b.String()
	}
	one := picture(1)
	if share := float64(strings.Count(one, "x")) / (10 * 4 * 50); share < 0.5 || share > 0.7 {
		t.Errorf("in use for %.2f of the hours", share)
	}
	if one != picture(1) || one == picture(2) {
		t.Error("the meetings do not follow from the seed")
	}
}

// TestInUse: a unit that is asked lets an update wait until nobody uses it; one that is told reboots, and that is noted.
func TestInUse(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	var free atomic.Bool
	s.cfg.Wall = func() time.Time {
		nine := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
		if !free.Load() {
			return nine.Add(-100 * time.Millisecond)
		}
		return nine
	}
	s.cfg.Each = func(n int) Unit {
		u := Unit{Transports: []string{}, Hours: Hours{From: 8 * time.Hour, To: 9 * time.Hour, Used: 1}}
		if n == 3 {
			u.Hours.To = 10 * time.Hour
		}
		return u
	}
	s.terms = func(d *direction.Direction) {
		d.Kind, d.DeferUntil = direction.Soft, time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	}
	s.forced = 2
	s.run([]int{1, 2, 3}, func() bool {
		if strings.Contains(s.words(1), Answered) && strings.Contains(s.words(2), "committed") && strings.Contains(s.words(3), "later") {
			free.Store(true)
		}
		return strings.Contains(s.words(1), "committed")
	})
	if w := s.words(1); !strings.Contains(w, "staged answered: answered:yes staged rebooting") || strings.Contains(w, Interrupted) {
		t.Errorf("who was asked: %s", w)
	}
	if w := s.words(2); !strings.Contains(w, "rebooting interrupted on:b") {
		t.Errorf("who was told: %s", w)
	}
	if w := s.words(3); strings.Contains(w, "rebooting") {
		t.Errorf("who is in use for an hour: %s", w)
	}
}

// TestFaces: what a unit says it is follows from its number and the seed, and no two are the same.
func TestFaces(t *testing.T) {
	t.Parallel()
	s := newScene(t, 300)
	s.cfg.Seed, s.cfg.Shared = 7, true
	s.cfg.Each = func(n int) Unit { return []Unit{{}, {Serial: "BU200-", MAC: "0a:0b:0c"}}[n%2] }
	must(t, newFleet(t, s.cfg).Close())
	seen := map[string]bool{}
	for n := 1; n <= s.cfg.Units; n++ {
		c, err := agent.LoadConfig(filepath.Join(s.cfg.Dir, UnitName(n), "agent.json"))
		must(t, err)
		want := [][2]string{{"SIM", FactoryMAC}, {"BU200-", "0a:0b:0c"}}[n%2]
		if c.Serial != fmt.Sprintf("%s%06d", want[0], n) || !regexp.MustCompile("^"+want[1]+"(:[0-9a-f]{2}){3}$").MatchString(c.MAC) || seen[c.MAC[8:]] {
			t.Errorf("unit %d: serial %s, MAC %s", n, c.Serial, c.MAC)
		}
		seen[c.MAC[8:]] = true
	}
}
