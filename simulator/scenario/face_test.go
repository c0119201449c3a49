package scenario

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

const faces = `name: faces
units: 4
begins: 2026-01-05T07:59:00+01:00
fleet:
  - name: office
    serial: BU100-
    mac: "0A:bc:01"
    rooms: [Amber, Birch]
    inventory: {contract: leased}
    hours:
      from: "08:00"
      to: "18:00"
      days: [mon, fri]
      zone: Europe/Berlin
      used: 60%
      meeting: 45m
releases: [{version: 1.0.0}]
expect:
  - {interrupted: none, of: office}
`

func TestFaces(t *testing.T) {
	s, err := Parse([]byte(faces), "faces.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	u := s.Fleet[0].Unit()
	if u.Serial != "BU100-" || u.MAC != "0a:bc:01" || !s.Begins.Equal(time.Date(2026, 1, 5, 6, 59, 0, 0, time.UTC)) {
		t.Errorf("%+v, begins %v", u, s.Begins)
	}
	h := u.Hours
	if h.From != 8*time.Hour || h.To != 18*time.Hour || h.Zone.String() != "Europe/Berlin" || h.Used != 0.6 || h.Meeting != 45*time.Minute ||
		!reflect.DeepEqual(h.Days, []time.Weekday{time.Monday, time.Friday}) {
		t.Errorf("hours: %+v", h)
	}
	for i, room := range []string{"Amber", "Birch", "Amber"} {
		zone, noted := s.Fleet[0].Noted(i)
		if zone != "Europe/Berlin" || !reflect.DeepEqual(noted, map[string]string{"room": room, "contract": "leased"}) {
			t.Errorf("unit %d: %s, %v", i, zone, noted)
		}
	}
	if w := s.Expect[0].Words(); w != "no unit of kind office reboots by itself while it is in use" {
		t.Error(w)
	}
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Parse(text, "again", "."); err != nil || !reflect.DeepEqual(back.Fleet, s.Fleet) || !back.Begins.Equal(s.Begins.Time) {
		t.Errorf("written and read back: %v\n%s", err, text)
	}
}

// TestFacesRefused: what no face can be is said with its line, and what to write.
func TestFacesRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, new, line, want string }{
		"no moment":         {"2026-01-05T07:59:00+01:00", "monday", "line 3", "write 2026-01-05T08:00:00+01:00"},
		"serial":            {"BU100-", "'BU 100'", "line 6", "write up to 32"},
		"no MAC":            {"0A:bc:01", "0A:bc", "line 7", "write 02:f1:00"},
		"a group's MAC":     {"0A:bc:01", "01:bc:01", "line 7", "addresses of groups"},
		"no room":           {"[Amber, Birch]", "['']", "line 8", "a room is a name"},
		"room twice":        {"{contract: leased}", "{room: x}", "line 9", "room is what rooms says"},
		"no time":           {`"08:00"`, `"8 h"`, "line 11", "write 08:00"},
		"no such time":      {`"18:00"`, `"25:00"`, "line 12", "write 08:00"},
		"no hours":          {`"18:00"`, `"08:00"`, "line 10", "both 08:00"},
		"no day":            {"fri]", "caturday]", "line 13", "write mon"},
		"no zone":           {"Europe/Berlin", "Europe/Bonn", "line 14", "Europe/Berlin"},
		"never":             {"60%", "0%", "line 15", "leave the hours out"},
		"too much":          {"60%", "160%", "line 15", "percentage"},
		"too short":         {"45m", "1ms", "line 16", "not within"},
		"unknown":           {"zone:", "zoned:", "line 14", `"zoned" is not known`},
		"who is never used": {"    hours:\n      from: \"08:00\"\n      to: \"18:00\"\n      days: [mon, fri]\n      zone: Europe/Berlin\n      used: 60%\n      meeting: 45m\n", "", "line 12", "ever in use: give"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(faces, c.old) {
				t.Fatalf("the scenario has no %q", c.old)
			}
			_, err := Parse([]byte(strings.Replace(faces, c.old, c.new, 1)), "bad.yaml", ".")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.line+":") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %s, %s; got:\n%v", c.line, c.want, err)
			}
		})
	}
}
