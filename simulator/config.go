package simulator

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/firmware"
)

// MaxUnits bounds a fleet in one process. Each unit holds about five descriptors.
const MaxUnits = 10_000

// Config is a fleet. Fields without a zero value's meaning are required.
type Config struct {
	Dir   string // folder of the fleet; made if it is missing
	Units int    // 1 to MaxUnits

	Service   string // URL of the service
	CA        string // file: certificates that vouch for the service
	Root      string // file: root metadata of the image repository, from the factory
	ClaimFile string // file: claim token that enrols the units

	Product  string
	Hardware string
	Image    string        // file: the image in slot a from the factory
	Factory  agent.Factory // the release that Image is

	// SlotSize is the capacity of a slot in bytes; 0 means 1.25 times the factory image.
	SlotSize int64
	// Poll is the time between two polls while MQTT is up; 0 means the agent's default.
	Poll time.Duration
	// FallbackPoll is the same while MQTT is down; 0 means the link's default.
	FallbackPoll time.Duration
	// RetryWait is the least wait before a failed download is tried again; 0 means the agent's default.
	RetryWait time.Duration
	// Health is the deadline of the health checks; 0 means 30 s.
	Health time.Duration
	// Sick are units, by name, and the version that each will not be healthy with.
	Sick map[string]string
	// Observe is told what happens; nil means nobody is. It must not block.
	Observe func(Event)
}

// UnitName is the name of unit i, counted from 1: unit-001.
func UnitName(i int) string { return fmt.Sprintf("unit-%03d", i) }

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
	for name, version := range c.Sick {
		if err := c.checkSick(name, version); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkSick(name, version string) error {
	if err := firmware.CheckVersion(version); err != nil {
		return fmt.Errorf("sick: %s: %w", name, err)
	}
	for i := 1; i <= c.Units; i++ {
		if UnitName(i) == name {
			return nil
		}
	}
	return fmt.Errorf("sick: there is no %s in a fleet of %d", name, c.Units)
}

// agentConfig is the configuration file of one unit.
func (c *Config) agentConfig(i int, dir string) (agent.Config, error) {
	slot := c.SlotSize
	if slot == 0 {
		info, err := os.Stat(c.Image)
		if err != nil {
			return agent.Config{}, err
		}
		slot = info.Size() + info.Size()/4
	}
	var abs [4]string
	for n, path := range []string{c.CA, c.Root, c.ClaimFile, dir} {
		p, err := filepath.Abs(path)
		if err != nil {
			return agent.Config{}, err
		}
		abs[n] = p
	}
	at := func(name string) string { return filepath.Join(abs[3], name) }
	health := c.Health
	if health == 0 {
		health = 30 * time.Second
	}
	return agent.Config{
		Service: c.Service, CA: abs[0], Root: abs[1], ClaimFile: abs[2], Poll: agent.Duration(c.Poll),
		State: at("state"), Product: c.Product, Hardware: c.Hardware,
		Serial: fmt.Sprintf("SIM%06d", i), MAC: fmt.Sprintf("02:f1:00:%02x:%02x:%02x", i>>16&0xff, i>>8&0xff, i&0xff),
		Factory: c.Factory, Slots: agent.SlotPaths{A: at("slot-a.img"), B: at("slot-b.img")}, SlotSize: slot,
		Bootloader: agent.BootConfig{Type: "file", Dir: at("boot")},
		Health:     agent.HealthConfig{Hooks: at("health.d"), Deadline: agent.Duration(health)},
	}, nil
}
