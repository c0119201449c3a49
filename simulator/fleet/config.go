package fleet

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/simulator/network"
)

// MaxUnits bounds a fleet in one process.
const MaxUnits = 50_000

// Config is a fleet. Fields without a zero value's meaning are required.
type Config struct {
	Dir   string // folder of the fleet; made if it is missing
	Units int    // 1 to MaxUnits
	Seed  uint64 // of everything random about the units' lines and faults
	Part  Part   // of them that this process has

	Service   string // URL of the service
	CA        string // file: certificates that vouch for the service
	Root      string // file: root metadata of the image repository, from the factory
	ClaimFile string // file: claim token that enrols the units

	Product  string
	Hardware string
	Image    string        // file: the image in slot a from the factory
	Factory  agent.Factory // the release that Image is
	Shared   bool          // slots are views over one store, see package frames; else files of their own
	Memory   bool          // small files lie in memory, and end with this process; only with Shared

	// SlotSize is the capacity of a slot in bytes; 0 means 1.25 times the factory image.
	SlotSize int64
	// Poll is the time between two polls while MQTT is up; 0 means the agent's default.
	Poll time.Duration
	// FallbackPoll is the same while MQTT is down; 0 means the link's default.
	FallbackPoll time.Duration
	// RetryWait is the least wait before a failed download is tried again; 0 means the agent's default.
	RetryWait time.Duration
	// RetryMax is the longest such wait; 0 means the agent's default.
	RetryMax time.Duration
	// Health is the deadline of the health checks; 0 means 30 s.
	Health time.Duration
	// Boot is how long a start takes, from the bootloader's choice to the agent; each unit draws from its upper half.
	Boot time.Duration
	// Ramp is how many units are powered on each second, fewer where they enrol more slowly; 0 means all at once.
	Ramp float64
	// Limits are those of installations; the zero value means the agent's.
	Limits install.Limits
	// Exchange is what the lines lead through; nil for TCP.
	Exchange *network.Exchange
	// Apart has no two units do anything at the same moment, as in virtual time the order would be left to chance.
	Apart bool
	// Idle is as in agent.Options.
	Idle time.Duration
	// Look is as in agent.Options.
	Look time.Duration
	// Wall is the clock on the walls of the rooms, which says when units are in use; nil means time.Now.
	Wall func() time.Time
	// Proxy is the URL of the proxy of lines that lead through one.
	Proxy string
	// Each says what sets unit n, counted from 1, apart; nil means nothing.
	Each func(n int) Unit
	// Observe is told what happens; nil means nobody is. It must not block.
	Observe func(Event)
}

// Unit is what sets one unit apart. A zero field has what the fleet has.
type Unit struct {
	Hardware   string
	Agent      string   // version of the agent
	Transports []string // as in agent.Config; [] for polling only
	Line       network.Class
	Faults     Faults
	CloneOf    int    // it has the identity of this unit, as soon as that has one
	Serial     string // what its serial number begins with; "" for SIM
	MAC        string // the first three bytes of its MAC; "" for FactoryMAC
	Hours      Hours
}

// FactoryMAC is what the MACs of a fleet begin with: three bytes that no vendor has, as they are administered locally (IEEE 802,
// section 8.2).
const FactoryMAC = "02:f1:00"

// leastPoll is the shortest that a configuration file may ask for. Shorter ones go past it: time is dear in a simulation.
const leastPoll = time.Minute

// UnitName is the name of unit n, counted from 1: unit-001.
func UnitName(n int) string { return fmt.Sprintf("unit-%03d", n) }

// check refuses a fleet that could not run, before anything is made.
func (c *Config) check() error {
	if c.Units < 1 || c.Units > MaxUnits {
		return fmt.Errorf("units: %d is not within 1 and %d", c.Units, MaxUnits)
	}
	if err := firmware.CheckProduct(c.Product); err != nil {
		return fmt.Errorf("product: %w", err)
	}
	if err := firmware.CheckHardware(c.Hardware); err != nil {
		return fmt.Errorf("hardware: %w", err)
	}
	for _, f := range []struct{ flag, path string }{
		{"ca", c.CA}, {"root", c.Root}, {"claim-file", c.ClaimFile}, {"image", c.Image},
	} {
		if info, err := os.Stat(f.path); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		} else if info.IsDir() {
			return fmt.Errorf("%s: %s is a folder, not a file", f.flag, f.path)
		}
	}
	if err := c.Part.check(c.Units); err != nil {
		return err
	}
	return CheckFiles(len(c.Part.Numbers(c.Units)), c.Exchange != nil)
}

// loopback reports whether the service is on this machine, at an address of IPv4.
func (c *Config) loopback() bool {
	u, err := url.Parse(c.Service)
	return err == nil && u.Hostname() == "127.0.0.1"
}

// each is what sets unit n apart.
func (c *Config) each(n int) Unit {
	if c.Each == nil {
		return Unit{}
	}
	return c.Each(n)
}

// agentConfig is the configuration file of unit n.
func (c *Config) agentConfig(n int, dir string) (agent.Config, error) {
	info, err := os.Stat(c.Image)
	if err != nil {
		return agent.Config{}, err
	}
	out := agent.Config{
		Service: c.Service, CA: c.CA, Root: c.Root, ClaimFile: c.ClaimFile, Proxy: "none",
		State: filepath.Join(dir, "state"), Product: c.Product, Hardware: c.Hardware, Factory: c.Factory, SlotSize: c.SlotSize,
		Slots:      agent.SlotPaths{A: filepath.Join(dir, "slot-a.img"), B: filepath.Join(dir, "slot-b.img")},
		Bootloader: agent.BootConfig{Type: "file", Dir: filepath.Join(dir, "boot")},
		Health:     agent.HealthConfig{Deadline: agent.Duration(c.Health)},
	}
	if c.Poll >= leastPoll {
		out.Poll = agent.Duration(c.Poll)
	}
	if out.SlotSize == 0 {
		out.SlotSize = info.Size() + info.Size()/4
	}
	if c.Health == 0 {
		out.Health.Deadline = agent.Duration(30 * time.Second)
	}
	c.setApart(&out, n)
	for _, p := range []*string{&out.CA, &out.Root, &out.ClaimFile, &out.State, &out.Slots.A, &out.Slots.B, &out.Bootloader.Dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return out, err
		}
	}
	return out, nil
}

// setApart gives unit n its face.
func (c *Config) setApart(out *agent.Config, n int) {
	u := c.each(n)
	if u.Hardware != "" {
		out.Hardware = u.Hardware
	}
	if out.Transports = u.Transports; u.Line.Proxy {
		out.Proxy = c.Proxy
	}
	face := n
	if u.CloneOf > 0 {
		face, out.ClaimFile = u.CloneOf, ""
	}
	out.Serial = u.SerialOf(face)
	out.MAC = cmp.Or(u.MAC, FactoryMAC) + macEnd(c.Seed, face)
}

// SerialOf is the serial number of unit n.
func (u Unit) SerialOf(n int) string { return fmt.Sprintf("%s%06d", cmp.Or(u.Serial, "SIM"), n) }

// macEnd is the second half of a MAC. No two units of a fleet have the same.
func macEnd(seed uint64, unit int) string {
	n := uint64(unit) + seed*0x9e3779
	return fmt.Sprintf(":%02x:%02x:%02x", n>>16&0xff, n>>8&0xff, n&0xff)
}
