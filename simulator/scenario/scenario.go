package scenario

import (
	"cmp"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/simulator/fleet"
)

// Scenario is a file that was read and checked, with its defaults filled in.
type Scenario struct {
	Name     string             `yaml:"name"`
	About    string             `yaml:"about"`
	Seed     uint64             `yaml:"seed"`
	Units    int                `yaml:"units"`
	Over     string             `yaml:"over"` // what carries the fleet's connections
	Time     string             `yaml:"time"`
	Begins   Moment             `yaml:"begins,omitempty"` // what the clocks on the walls show when the fleet is up; zero: the time
	For      Duration           `yaml:"for"`
	Fleet    []Kind             `yaml:"fleet"`
	Networks map[string]Network `yaml:"networks"`
	Images   Images             `yaml:"images"`
	Releases []Release          `yaml:"releases"`
	Timing   Timing             `yaml:"timing"`
	Faults   []Fault            `yaml:"faults"`
	Events   []Event            `yaml:"events"`
	Expect   []Expectation      `yaml:"expect"`
}

// Kind is a kind of units.
type Kind struct {
	Name      string `yaml:"name"`
	Share     Share  `yaml:"share"`
	Network   string `yaml:"network"`
	Transport string `yaml:"transport"`
	Agent     string `yaml:"agent"`
	Hardware  string `yaml:"hardware,omitempty"`

	Serial    string            `yaml:"serial"` // what serial numbers begin with
	MAC       string            `yaml:"mac"`    // the first three bytes
	Rooms     []string          `yaml:"rooms,omitempty"`
	Inventory map[string]string `yaml:"inventory,omitempty"`
	Hours     *Hours            `yaml:"hours"`
}

// Network is a class of lines; see network.Class.
type Network struct {
	Rate    Bytes    `yaml:"rate"`
	Latency Duration `yaml:"latency"`
	Loss    Share    `yaml:"loss"`
	Offline Duration `yaml:"offline"`
	Every   Duration `yaml:"every"`
	Portal  bool     `yaml:"portal"`
	Proxy   bool     `yaml:"proxy"`
	Corrupt Bytes    `yaml:"corrupt"`
}

// What time passes.
const (
	RealTime    = "real"
	VirtualTime = "virtual" // whenever nothing is to be done, it is at once the moment at which there is
)

// Images describe made-up images.
type Images struct {
	Size    Bytes `yaml:"size"`
	Used    Share `yaml:"used"`
	Changed Share `yaml:"changed"`
}

// Release is a version of the product.
type Release struct {
	Version  string   `yaml:"version"`
	Image    string   `yaml:"image"`
	MinAgent string   `yaml:"min_agent"`
	Hardware []string `yaml:"hardware,omitempty"`
	Patches  *int     `yaml:"patches"`
}

// Timing is how patient units are, and how quickly they come.
type Timing struct {
	Poll         Duration `yaml:"poll"`
	FallbackPoll Duration `yaml:"fallback_poll"`
	Retry        Duration `yaml:"retry"`
	RetryMax     Duration `yaml:"retry_max"`
	Boot         Duration `yaml:"boot"`
	Health       Duration `yaml:"health"`
	Ramp         float64  `yaml:"ramp"`   // units a second
	Accept       float64  `yaml:"accept"` // connections a second that the service takes
}

// Some are some units of a kind, or of all: a share, or so many.
type Some struct {
	Share Share  `yaml:"share"`
	Count int    `yaml:"count"`
	Of    string `yaml:"of"`
}

// Fault is what goes wrong with some units.
type Fault struct {
	Some      `yaml:",inline"`
	PowerCut  []wire.State `yaml:"power_cut"`
	Off       Duration     `yaml:"off"`
	Unhealthy string       `yaml:"unhealthy"`
	BootLoop  string       `yaml:"boot_loop"`
	Hang      string       `yaml:"hang"`
	Watchdog  Duration     `yaml:"watchdog"`
	DiskFull  bool         `yaml:"disk_full"`
	Clock     Duration     `yaml:"clock"`
	Corrupt   Bytes        `yaml:"corrupt"`
	Clone     bool         `yaml:"clone"`
	Clear     bool         `yaml:"clear"`
}

// Event happens at a time since the fleet has come up.
type Event struct {
	At   Duration     `yaml:"at"`
	When *Expectation `yaml:"when"` // it waits until this is true; those after it are later by as much

	Publish    string         `yaml:"publish"`
	Rollout    string         `yaml:"rollout"`
	Plan       map[string]any `yaml:"plan,omitempty"`
	Direct     string         `yaml:"direct"`
	Service    string         `yaml:"service"`
	Repository string         `yaml:"repository"`
	Rotate     string         `yaml:"rotate"`
	Timestamp  string         `yaml:"timestamp"`
	PowerCut   *Some          `yaml:"power_cut"`
	Off        Duration       `yaml:"off"`
	Line       string         `yaml:"line"`
	Network    string         `yaml:"network"`
	Units      *Some          `yaml:"units"`
	Fault      *Fault         `yaml:"fault"`
	Hostile    int            `yaml:"hostile"`
}

// Expectation is what must be true of a run.
type Expectation struct {
	Committed      string   `yaml:"committed"`
	Ended          string   `yaml:"ended"`
	Reason         string   `yaml:"reason"`
	NoneOn         string   `yaml:"none_on"`
	AtMostOn       string   `yaml:"at_most_on"`
	Bricked        string   `yaml:"bricked"`
	Interrupted    string   `yaml:"interrupted"`
	Rollout        string   `yaml:"rollout"`
	Release        string   `yaml:"release"`
	BytesPerUnit   Bytes    `yaml:"bytes_per_unit"`
	RequestsPerSec float64  `yaml:"requests_per_second"`
	ConnectsPerSec float64  `yaml:"connections_per_second"`
	Connected      Share    `yaml:"connected"`
	Share          Share    `yaml:"share"`
	Within         Duration `yaml:"within"`
	Of             string   `yaml:"of"`
}

// What carries connections.
const (
	OverTCP   = "tcp"   // and TLS, to a service in a process of its own
	OverPipe  = "pipe"  // TLS, within this process
	OverPlain = "plain" // without TLS, within this process
)

// Overs are all of them.
var Overs = []string{OverTCP, OverPipe, OverPlain}

// Defaults of a scenario.
const (
	DefaultFor = 2 * time.Minute
	// Product and Hardware are those of every scenario's fleet.
	Product  = "base-unit"
	Hardware = "bu-100"
	// Agent is what units say their agent is.
	Agent = "1.0.0"
)

// fill fills in what was left out.
func (s *Scenario) fill() {
	set(&s.For, DefaultFor)
	if s.Time = cmp.Or(s.Time, RealTime); s.Time == VirtualTime {
		s.Over = cmp.Or(s.Over, OverPlain)
	}
	s.Over = cmp.Or(s.Over, OverTCP)
	if s.Seed == 0 {
		s.Seed = 1
	}
	if len(s.Fleet) == 0 {
		s.Fleet = []Kind{{Name: "unit", Share: 1}}
	}
	for i := range s.Fleet {
		if k := &s.Fleet[i]; k.Transport == "" {
			k.Transport = wire.TransportMQTTS
		}
	}
	if s.Images.Size == 0 {
		s.Images.Size = 8 << 20
	}
	if s.Images.Used == 0 {
		s.Images.Used = 0.6
	}
	if s.Images.Changed == 0 {
		s.Images.Changed = 0.05
	}
	t := &s.Timing
	set(&t.Poll, time.Minute)
	set(&t.FallbackPoll, time.Second)
	set(&t.Retry, 500*time.Millisecond)
	set(&t.RetryMax, 5*time.Second)
	set(&t.Health, time.Minute)
	if t.Ramp == 0 {
		t.Ramp = 150
	}
	if t.Accept == 0 {
		t.Accept = 2000
	}
}

func set(d *Duration, v time.Duration) {
	if *d == 0 {
		*d = Duration(v)
	}
}

// Faults are the fault as the fleet knows it, on top of what is wrong already.
func (f Fault) Faults(have fleet.Faults) fleet.Faults {
	if f.Clear {
		have = fleet.Faults{}
	}
	have.CutAt = append(have.CutAt[:len(have.CutAt):len(have.CutAt)], f.PowerCut...)
	for _, v := range []struct {
		to   *string
		from string
	}{{&have.Unhealthy, f.Unhealthy}, {&have.Loops, f.BootLoop}, {&have.Hangs, f.Hang}} {
		if v.from != "" {
			*v.to = v.from
		}
	}
	for _, v := range []struct {
		to   *time.Duration
		from Duration
	}{{&have.Off, f.Off}, {&have.Watchdog, f.Watchdog}, {&have.Skew, f.Clock}} {
		if v.from != 0 {
			*v.to = v.from.D()
		}
	}
	have.Full = have.Full || f.DiskFull
	return have
}

// Ramp is how long the fleet takes to be powered on.
func (s *Scenario) Ramp() time.Duration {
	return time.Duration(float64(s.Units) / s.Timing.Ramp * float64(time.Second))
}
