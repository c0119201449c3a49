package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/network"
)

// Bounds of made-up images, in bytes.
const (
	minImage = 256 << 10
	maxImage = 4 << 30
)

// checker collects what is wrong.
type checker struct {
	s        *Scenario
	lines    lines
	problems []error
}

// wrong notes a problem of what stands at path.
func (c *checker) wrong(path, format string, args ...any) {
	err := fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...))
	if c.lines != nil {
		err = fmt.Errorf("line %d: %w", c.lines.of(path), err)
	}
	c.problems = append(c.problems, err)
}

func check(s *Scenario, l lines) []error {
	c := &checker{s: s, lines: l}
	c.whole()
	c.fleet()
	c.releases()
	for i, f := range s.Faults {
		path := fmt.Sprintf("faults.%d", i)
		c.some(path, f.Some)
		c.fault(path, f, false)
	}
	for i, e := range s.Events {
		c.event(fmt.Sprintf("events.%d", i), e)
	}
	for i, e := range s.Expect {
		c.expectation(fmt.Sprintf("expect.%d", i), e)
	}
	return c.problems
}

func (c *checker) whole() {
	s := c.s
	if s.Name == "" {
		c.wrong("name", "missing: the report is called by it")
	}
	if s.Units < 1 || s.Units > fleet.MaxUnits {
		c.wrong("units", "%d is not within 1 and %d", s.Units, fleet.MaxUnits)
	}
	if !slices.Contains(Overs, s.Over) {
		c.wrong("over", "%q is none of %v", s.Over, Overs)
	}
	most := map[string]Duration{RealTime: Duration(day), VirtualTime: Duration(366 * day)}[s.Time]
	switch {
	case most == 0:
		c.wrong("time", "%q is neither real nor virtual", s.Time)
	case s.Time == VirtualTime && s.Over != OverPlain:
		c.wrong("over", "in virtual time connections are plain, as the kernel's TCP knows no other time than its own, and TLS no dice but its own: leave it out")
	case s.For <= 0 || s.For > most:
		c.wrong("for", "%v is not within 0 and %v of %s time", s.For.D(), most.D(), s.Time)
	}
	if len(s.Expect) == 0 {
		c.wrong("expect", "missing: a run without expectations shows nothing. Try: - {bricked: none}")
	}
	if s.Images.Size < minImage || s.Images.Size > maxImage {
		c.wrong("images.size", "%d bytes are not within 256KiB and 4GiB", s.Images.Size)
	}
	if s.Timing.Ramp < 0 || s.Timing.Accept < 0 {
		c.wrong("timing", "ramp and accept are numbers a second, and not less than 0")
	}
}

func (c *checker) fleet() {
	var sum Share
	names := map[string]bool{}
	for i, k := range c.s.Fleet {
		path := fmt.Sprintf("fleet.%d", i)
		if sum += k.Share; k.Name == "" || names[k.Name] {
			c.wrong(path, "every kind wants a name of its own")
		}
		names[k.Name] = true
		if !slices.Contains([]string{wire.TransportMQTTS, wire.TransportWSS, "poll"}, k.Transport) {
			c.wrong(path+".transport", "%q is none of mqtts, wss, poll", k.Transport)
		}
		c.network(path+".network", k.Network)
		if k.Hardware != "" && firmware.CheckHardware(k.Hardware) != nil {
			c.wrong(path+".hardware", "%w", firmware.CheckHardware(k.Hardware))
		}
		if k.Agent != "" && firmware.CheckVersion(k.Agent) != nil {
			c.wrong(path+".agent", "%w", firmware.CheckVersion(k.Agent))
		}
		c.face(path, k)
	}
	if sum > 1.0001 {
		c.wrong("fleet", "the shares are %.0f%% together: make them 100%% or less", 100*float64(sum))
	}
	for name, n := range c.s.Networks {
		if err := n.Class().Check(); err != nil {
			c.wrong("networks."+name, "%w", err)
		}
	}
}

// Class is the network as the fleet's lines know it.
func (n Network) Class() network.Class {
	return network.Class{Rate: int64(n.Rate), Latency: n.Latency.D(), Loss: float64(n.Loss), Offline: n.Offline.D(), Every: n.Every.D(),
		Portal: n.Portal, Proxy: n.Proxy, Corrupt: int64(n.Corrupt)}
}

func (c *checker) network(path, name string) {
	if _, known := c.s.Networks[name]; name != "" && !known {
		c.wrong(path, "there is no network %q: add it below networks", name)
	}
}

func (c *checker) releases() {
	if len(c.s.Releases) == 0 {
		c.wrong("releases", "missing: the first is what the units have from the factory")
	}
	seen := map[string]bool{}
	for i, r := range c.s.Releases {
		path := fmt.Sprintf("releases.%d", i)
		if err := firmware.CheckVersion(r.Version); err != nil {
			c.wrong(path+".version", "%w", err)
		}
		if seen[r.Version] {
			c.wrong(path+".version", "%s is there twice", r.Version)
		}
		seen[r.Version] = true
		if info, err := os.Stat(r.Image); r.Image != "" && (err != nil || info.Size() == 0) {
			c.wrong(path+".image", "the image %s is missing or empty (%v): leave it out, and one is made up", r.Image, err)
		}
	}
}

func (c *checker) release(path, version string) {
	if version == "*" {
		return
	}
	if !slices.ContainsFunc(c.s.Releases, func(r Release) bool { return r.Version == version }) {
		c.wrong(path, "there is no release %q: add it below releases", version)
	}
}

func (c *checker) kind(path, name string) {
	if name != "" && !slices.ContainsFunc(c.s.Fleet, func(k Kind) bool { return k.Name == name }) {
		c.wrong(path, "there is no kind of units %q: add it below fleet", name)
	}
}

func (c *checker) some(path string, s Some) {
	c.kind(path+".of", s.Of)
	if (s.Share > 0) == (s.Count > 0) {
		c.wrong(path, "say for whom: share: 10%%, or count: 3")
	}
	if s.Count < 0 || s.Count > c.s.Units {
		c.wrong(path+".count", "%d of %d units", s.Count, c.s.Units)
	}
}

var cuttable = []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying, wire.Committed, wire.RolledBack, wire.Failed}

func (c *checker) fault(path string, f Fault, running bool) {
	for _, s := range f.PowerCut {
		if !slices.Contains(cuttable, s) {
			c.wrong(path+".power_cut", "no update is ever %q: write one of %v", s, cuttable)
		}
	}
	for key, version := range map[string]string{"unhealthy": f.Unhealthy, "boot_loop": f.BootLoop, "hang": f.Hang} {
		if version != "" {
			c.release(path+"."+key, version)
		}
	}
	if f.Clone && running {
		c.wrong(path+".clone", "a clone is one from the start: put it below faults")
	}
	if f.Clone && f.Share > 0.5 {
		c.wrong(path+".share", "every clone wants a unit that it is the clone of: 50%% at most")
	}
}

// rawPlan is the plan of a rollout as the service reads it.
func (e Event) rawPlan() (json.RawMessage, error) {
	plan := map[string]any{"schema": 1, "phases": []any{map[string]any{"name": "all", "percent": 100}}}
	for k, v := range e.Plan {
		plan[k] = v
	}
	return json.Marshal(plan)
}

// RolloutPlan is the plan of a rollout as the service reads it; Parse has seen that there is one.
func (e Event) RolloutPlan() json.RawMessage {
	b, err := e.rawPlan()
	if err != nil {
		return nil // Parse has refused it
	}
	return b
}
