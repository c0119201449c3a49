package agent

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
)

// MaxConfig bounds a configuration file, in bytes.
const MaxConfig = 64 << 10

// Defaults of [Config].
const (
	DefaultPath     = "/etc/fairlead/agent.json"
	DefaultState    = "/var/lib/fairlead"
	DefaultPoll     = 6 * time.Hour
	DefaultDeadline = 10 * time.Minute
)

// Config is the configuration file of one device, JSON. A relative path in it is taken
// from the folder of the file.
type Config struct {
	// Enabled is the cloud connection; false means no outbound connection at all.
	// nil means true.
	Enabled *bool `json:"enabled,omitempty"`
	// Service is the URL of the service, https://host[:port].
	Service string `json:"service,omitempty"`
	// CA is a PEM file with the certificates that may vouch for the service; empty
	// means those of the system.
	CA string `json:"ca,omitempty"`
	// Proxy is the URL of an HTTP proxy, or "none"; empty means the environment's.
	Proxy string `json:"proxy,omitempty"`
	// Transports are tried in this order; nil means mqtts, wss. [] means polling only.
	Transports []string `json:"transports,omitempty"`
	// Broker is mqtts://host[:port] of an MQTT 5 broker beside the service; empty means the
	// service itself. Its certificate is vouched for as the service's.
	Broker string `json:"broker,omitempty"`
	// Poll is the time between two polls while MQTT is up; 0 means 6 h.
	Poll Duration `json:"poll,omitempty"`
	// Rate is how many bytes a second of images the agent fetches at most; 0 means no limit.
	Rate int64 `json:"rate,omitempty"`
	// ClaimFile holds the claim token that enrols this device; it may be absent later.
	ClaimFile string `json:"claim_file,omitempty"`

	// Key says where the device's own key is: empty is a file in the state folder, "tpm:" the TPM 2.0 at
	// /dev/tpmrm0, "tpm:/PATH" another one. The key is made at the enrolment.
	Key string `json:"key,omitempty"`

	// Root is the file with root metadata of the image repository: the one to begin with.
	Root string `json:"root"`
	// DirectorRoot pins the director's root metadata; empty means the one that came
	// with the enrolment.
	DirectorRoot string `json:"director_root,omitempty"`

	// State is the folder that survives updates; empty means /var/lib/fairlead.
	State string `json:"state,omitempty"`

	// Product and Hardware are what releases must be for.
	Product  string `json:"product"`
	Hardware string `json:"hardware"`
	// Channel is how far a release must have been promoted: dev, beta or stable; empty means stable.
	Channel firmware.Channel `json:"channel,omitempty"`
	Serial  string           `json:"serial,omitempty"`
	MAC     string           `json:"mac,omitempty"`
	// Factory is what the device was delivered with. It counts until the first
	// update is committed, and whenever the agent's own record is lost.
	Factory Factory `json:"factory,omitempty"`

	// Slots are the two files or block devices that images are written to.
	Slots SlotPaths `json:"slots"`
	// SlotSize is the capacity in bytes of slots that are files; 0 means that a file
	// keeps the size it has. Block devices know theirs.
	SlotSize   int64        `json:"slot_size,omitempty"`
	Bootloader BootConfig   `json:"bootloader"`
	Health     HealthConfig `json:"health,omitempty"`
	// Reboot is the command that reboots, a word per entry. Without it the agent ends
	// with exit code 4 and leaves the reboot to whoever started it.
	Reboot []string `json:"reboot,omitempty"`
}

// Factory is the release that a device was delivered with.
type Factory struct {
	Version string `json:"version,omitempty"`
	Counter int64  `json:"counter,omitempty"`
	// Image is the image of the release; without it the slot is read once, before the first patch.
	Image firmware.Blob `json:"image,omitzero"`
}

// SlotPaths are the paths of slot a and slot b.
type SlotPaths struct {
	A string `json:"a"`
	B string `json:"b"`
}

// Path is where slot s is.
func (s SlotPaths) Path(slot boot.Slot) string {
	if slot == boot.A {
		return s.A
	}
	return s.B
}

// HealthConfig is what a new release must pass before it is kept.
type HealthConfig struct {
	// Hooks is a folder of executables, all of which must succeed; empty means none.
	Hooks string `json:"hooks,omitempty"`
	// Deadline is for all checks together; 0 means 10 min.
	Deadline Duration `json:"deadline,omitempty"`
}

// Duration is a time.Duration that is written as "90s", "10m", "6h".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// LoadConfig reads and checks the file at path. Its errors name the file, the line or the
// key, and what to do.
func LoadConfig(path string) (Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w: make one, or name another with --config", err)
	}
	if info.Size() > MaxConfig {
		return Config{}, fmt.Errorf("configuration %s has %d bytes, more than %d", path, info.Size(), MaxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c.from(filepath.Dir(path)), nil
}

// ParseConfig reads a configuration, fills in the defaults and checks it. Paths stay as
// they are.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	if err := decodeConfig(b, &c); err != nil {
		return Config{}, err
	}
	c = c.withDefaults()
	return c, c.Check()
}

func (c Config) withDefaults() Config {
	if c.Enabled == nil {
		yes := true
		c.Enabled = &yes
	}
	if c.State == "" {
		c.State = DefaultState
	}
	if c.Poll == 0 {
		c.Poll = Duration(DefaultPoll)
	}
	if c.Health.Deadline == 0 {
		c.Health.Deadline = Duration(DefaultDeadline)
	}
	if c.Transports == nil {
		c.Transports = []string{wire.TransportMQTTS, wire.TransportWSS}
		if c.Broker != "" {
			c.Transports = c.Transports[:1]
		}
	}
	return c
}

// from makes every path absolute, seen from dir.
func (c Config) from(dir string) Config {
	for _, p := range append([]*string{&c.CA, &c.ClaimFile, &c.Root, &c.DirectorRoot, &c.State,
		&c.Slots.A, &c.Slots.B, &c.Health.Hooks}, c.Bootloader.paths()...) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return c
}

// Check says which key is wrong and how to put it right.
func (c Config) Check() error {
	for _, check := range []func() error{c.checkService, c.checkKey, c.checkTrust, c.checkDevice, c.checkSlots, c.checkTimes} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func keyError(key, format string, args ...any) error {
	return fmt.Errorf("key %q: %w", key, fmt.Errorf(format, args...))
}

func (c Config) checkService() error {
	if c.Enabled == nil || *c.Enabled {
		u, err := url.Parse(c.Service)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			return keyError("service", "%q is not https://host[:port]: set it, or set \"enabled\" to false", c.Service)
		}
	}
	if u, err := url.Parse(c.Proxy); c.Proxy != "" && c.Proxy != "none" &&
		(err != nil || u.Scheme != "http" || u.Host == "") {
		return keyError("proxy", "want http://host:port, \"none\", or nothing for the environment's proxy")
	}
	if u, err := url.Parse(c.Broker); c.Broker != "" && (err != nil || u.Scheme != "mqtts" || u.Host == "" || u.User != nil || u.Path != "") {
		return keyError("broker", "%q is not mqtts://host[:port]", c.Broker)
	}
	if c.Rate < 0 {
		return keyError("rate", "%d bytes a second: want 0 for no limit, or more", c.Rate)
	}
	for _, t := range c.Transports {
		if t != wire.TransportMQTTS && t != wire.TransportWSS {
			return keyError("transports", "%q is neither %q nor %q", t, wire.TransportMQTTS, wire.TransportWSS)
		}
		if t == wire.TransportWSS && c.Broker != "" {
			return keyError("transports", "%q leads to the service, not to the broker %s: leave it out", t, c.Broker)
		}
	}
	return nil
}

func (c Config) checkTrust() error {
	if c.Root == "" {
		return keyError("root", "missing: name the file with the image repository's root metadata, 1.root.json or newer")
	}
	return nil
}

func (c Config) checkDevice() error {
	if err := firmware.CheckProduct(c.Product); err != nil {
		return keyError("product", "%w", err)
	}
	if err := firmware.CheckHardware(c.Hardware); err != nil {
		return keyError("hardware", "%w", err)
	}
	if c.Channel != "" {
		if err := c.Channel.Check(); err != nil {
			return keyError("channel", "%w", err)
		}
	}
	if c.Factory.Version != "" {
		if err := firmware.CheckVersion(c.Factory.Version); err != nil {
			return keyError("factory.version", "%w", err)
		}
	}
	if c.Factory.Counter < 0 || c.Factory.Counter > firmware.MaxCounter {
		return keyError("factory.counter", "%d is not a release counter", c.Factory.Counter)
	}
	if i := c.Factory.Image; i != (firmware.Blob{}) && (i.Length <= 0 || i.Length > firmware.MaxImage || i.SHA256.IsZero()) {
		return keyError("factory.image", "want the length and the SHA-256 of an image, or neither")
	}
	for _, f := range []struct{ key, value string }{{"serial", c.Serial}, {"mac", c.MAC}} {
		if len(f.value) > wire.MaxName || wire.Text(f.value) != f.value {
			return keyError(f.key, "want one line of at most %d bytes", wire.MaxName)
		}
	}
	return nil
}

func (c Config) checkSlots() error {
	if c.Slots.A == "" || c.Slots.B == "" {
		return keyError("slots", "\"a\" and \"b\" must both name a file or block device")
	}
	if c.Slots.A == c.Slots.B {
		return keyError("slots", "\"a\" and \"b\" are the same: an update would overwrite the running system")
	}
	if c.SlotSize < 0 {
		return keyError("slot_size", "%d is negative", c.SlotSize)
	}
	if err := c.Bootloader.check(); err != nil {
		return err
	}
	if slices.Contains(c.Reboot, "") {
		return keyError("reboot", "empty word in %q: write [\"systemctl\", \"reboot\"]", strings.Join(c.Reboot, " "))
	}
	return nil
}

func (c Config) checkTimes() error {
	if p := time.Duration(c.Poll); p < time.Minute || p > 7*24*time.Hour {
		return keyError("poll", "%v is not within 1m and 168h", p)
	}
	if d := time.Duration(c.Health.Deadline); d < time.Second || d > 24*time.Hour {
		return keyError("health.deadline", "%v is not within 1s and 24h", d)
	}
	return nil
}
