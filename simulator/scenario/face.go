package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fairlead/fairlead/simulator/fleet"
)

// Hours are when units of a kind are in use; see fleet.Hours.
type Hours struct {
	From    Clock    `yaml:"from"`
	To      Clock    `yaml:"to"`
	Days    []Day    `yaml:"days,omitempty"`
	Zone    string   `yaml:"zone"`
	Used    *Share   `yaml:"used"` // nil is all
	Meeting Duration `yaml:"meeting"`
}

// Hours are those of the kind as the fleet knows them.
func (k Kind) hours() fleet.Hours {
	if k.Hours == nil {
		return fleet.Hours{}
	}
	h := k.Hours
	zone, err := time.LoadLocation(h.Zone)
	if err != nil {
		zone = time.UTC // check has refused it
	}
	out := fleet.Hours{From: time.Duration(h.From), To: time.Duration(h.To), Zone: zone, Meeting: h.Meeting.D(), Used: 1}
	if h.Used != nil {
		out.Used = float64(*h.Used)
	}
	for _, d := range h.Days {
		out.Days = append(out.Days, time.Weekday(d))
	}
	return out
}

// Unit is what the kind says of its units, but for their lines.
func (k Kind) Unit() fleet.Unit {
	return fleet.Unit{Hardware: k.Hardware, Agent: k.Agent, Serial: k.Serial, MAC: strings.ToLower(k.MAC), Hours: k.hours()}
}

// Noted is what operators are to note of the i-th unit of the kind, counted from 0: nothing, if the kind says nothing.
func (k Kind) Noted(i int) (zone string, attributes map[string]string) {
	attributes = map[string]string{}
	for name, text := range k.Inventory {
		attributes[name] = text
	}
	if len(k.Rooms) > 0 {
		attributes["room"] = k.Rooms[i%len(k.Rooms)]
	}
	if k.Hours != nil {
		zone = k.Hours.Zone
	}
	return zone, attributes
}

// Bounds of faces.
const (
	maxRooms   = 10_000
	maxNotes   = 32
	maxName    = 128
	minMeeting = time.Second
)

var (
	macPrefix = regexp.MustCompile(`^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){2}$`)
	serials   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)
)

func (c *checker) face(path string, k Kind) {
	if k.Serial != "" && !serials.MatchString(k.Serial) {
		c.wrong(path+".serial", "%q is not what a serial number begins with: write up to 32 of letters, digits, . _ -, such as BU100-", k.Serial)
	}
	switch first, _ := strconv.ParseUint(k.MAC[:min(2, len(k.MAC))], 16, 8); {
	case k.MAC == "":
	case !macPrefix.MatchString(k.MAC):
		c.wrong(path+".mac", "%q is not the first three bytes of a MAC: write %s", k.MAC, fleet.FactoryMAC)
	case first&1 != 0:
		c.wrong(path+".mac", "%q is the beginning of addresses of groups, as its first byte is odd: write %s", k.MAC, fleet.FactoryMAC)
	}
	if len(k.Rooms) > maxRooms || slices.ContainsFunc(k.Rooms, func(r string) bool { return !oneLine(r) }) {
		c.wrong(path+".rooms", "a room is a name of up to %d bytes, and there are up to %d", maxName, maxRooms)
	}
	if len(k.Inventory) > maxNotes {
		c.wrong(path+".inventory", "%d entries are more than %d", len(k.Inventory), maxNotes)
	}
	for name, text := range k.Inventory {
		if !oneLine(name) || !oneLine(text) || name == "room" && len(k.Rooms) > 0 {
			c.wrong(path+".inventory."+name, "want a name and a line of up to %d bytes each; room is what rooms says", maxName)
		}
	}
	if k.Hours != nil {
		c.hours(path+".hours", *k.Hours)
	}
}

func oneLine(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsAny(s, "\r\n\x00")
}

func (c *checker) hours(path string, h Hours) {
	if h.From == h.To {
		c.wrong(path, "from and to are both %s: for the whole day write from: \"00:00\", to: \"24:00\"", h.From)
	}
	if _, err := time.LoadLocation(h.Zone); err != nil || h.Zone == "Local" {
		c.wrong(path+".zone", "there is no time zone %q: write one such as Europe/Berlin, or leave it out for UTC", h.Zone)
	}
	if h.Used != nil && *h.Used == 0 {
		c.wrong(path+".used", "0%% is never: leave the hours out")
	}
	if h.Meeting < 0 || h.Meeting > 0 && h.Meeting.D() < minMeeting || h.Meeting > Duration(day) {
		c.wrong(path+".meeting", "%v is not within %v and 24h", h.Meeting.D(), minMeeting)
	}
}

// Clock is a time of the day, written as 08:00; 24:00 is its end.
type Clock time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *Clock) UnmarshalYAML(n *yaml.Node) error { return atLine(n, t) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Clock) UnmarshalText(text []byte) error {
	if string(text) == "24:00" {
		*t = Clock(day)
		return nil
	}
	at, err := time.Parse("15:04", string(text))
	if err != nil || len(text) != len("15:04") {
		return fmt.Errorf("%q is not a time of the day: write 08:00, 17:30 or 24:00", text)
	}
	*t = Clock(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (t Clock) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t Clock) String() string {
	return fmt.Sprintf("%02d:%02d", time.Duration(t)/time.Hour, time.Duration(t)%time.Hour/time.Minute)
}

// Day is a day of the week, written as mon, tue, wed, thu, fri, sat, sun.
type Day time.Weekday

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Day) UnmarshalYAML(n *yaml.Node) error { return atLine(n, d) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Day) UnmarshalText(text []byte) error {
	for i := time.Sunday; i <= time.Saturday; i++ {
		if Day(i).String() == string(text) {
			*d = Day(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no day of the week: write mon, tue, wed, thu, fri, sat or sun", text)
}

// MarshalText implements encoding.TextMarshaler.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Day) String() string { return strings.ToLower(time.Weekday(d).String()[:3]) }

// Moment is a moment, written by RFC 3339.
type Moment struct{ time.Time }

// UnmarshalYAML implements yaml.Unmarshaler.
func (m *Moment) UnmarshalYAML(n *yaml.Node) error { return atLine(n, m) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a moment: write 2026-01-05T08:00:00+01:00", text)
	}
	m.Time = at
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Moment) MarshalText() ([]byte, error) { return []byte(m.Format(time.RFC3339)), nil }
