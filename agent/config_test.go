package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodConfig = `{
  "service": "https://fw.example:8443",
  "root": "root.json",
  "product": "base-unit",
  "hardware": "bu-100",
  "slots": {"a": "slot-a", "b": "/dev/slot-b"},
  "bootloader": {"type": "file", "dir": "boot"}
}`

func TestConfigDefaults(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.json")
	if err := os.WriteFile(path, []byte(goodConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if !*c.Enabled || c.State != DefaultState || time.Duration(c.Poll) != DefaultPoll ||
		time.Duration(c.Health.Deadline) != DefaultDeadline || len(c.Transports) != 2 {
		t.Errorf("defaults: %+v", c)
	}
	if c.Slots.A != filepath.Join(dir, "slot-a") || c.Slots.B != "/dev/slot-b" || c.Root != filepath.Join(dir, "root.json") {
		t.Errorf("paths: %+v", c)
	}
}

func TestConfigRefused(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string // replaced in goodConfig
		want           string // in the message
	}{
		{"unknown key", `"product"`, `"produkt"`, `line 4: unknown key "produkt"; known here: bootloader, broker, ca,`},
		{"unknown key below", `"dir"`, `"folder"`, `line 7: unknown key "folder"; known here: copies, dir, size, tries, type`},
		{"key in other case", `"service"`, `"Service"`, `line 2: unknown key "Service"`},
		{"key twice", `"root": "root.json"`, `"root": "root.json", "root": "x"`, `"root"`},
		{"wrong type", `"bu-100"`, `100`, `line 5: key "hardware": want string, found a number`},
		{"no JSON", `"bu-100",`, `"bu-100"`, `line 6: invalid character`},
		{"cut off", "\n}", "", "unexpected end"},
		{"trailing", "\n}", "\n}\n{}", "line 9: invalid character"},
		{"null", `"bu-100"`, `null`, "null"},
		{"service by http", "https://fw", "http://fw", `key "service": "http://fw.example:8443" is not https://host[:port]`},
		{"no service", `"service": "https://fw.example:8443",`, "", `key "service": "" is not https://host[:port]: set it, or set "enabled" to false`},
		{"no root", `"root": "root.json",`, "", `key "root": missing: name the file`},
		{"no hardware", `"hardware": "bu-100",`, "", `key "hardware": hardware ""`},
		{"reserved product", "base-unit", "targets", `key "product"`},
		{"one slot", `"a": "slot-a", `, "", `key "slots": "a" and "b" must both name`},
		{"same slot", "/dev/slot-b", "slot-a", "would overwrite the running system"},
		{"bootloader", `"file"`, `"lilo"`, `key "bootloader.type": "lilo" is not known`},
		{"negative size", `"product"`, `"slot_size": -1, "product"`, `key "slot_size"`},
		{"poll", `"product"`, `"poll": "1s", "product"`, `key "poll": 1s is not within`},
		{"duration", `"product"`, `"poll": "soon", "product"`, "soon"},
		{"deadline", `"product"`, `"health": {"deadline": "25h"}, "product"`, `key "health.deadline"`},
		{"transport", `"product"`, `"transports": ["tcp"], "product"`, `key "transports": "tcp" is neither`},
		{"proxy", `"product"`, `"proxy": "proxy:3128", "product"`, `key "proxy"`},
		{"reboot", `"product"`, `"reboot": ["systemctl", ""], "product"`, `key "reboot"`},
		{"serial", `"product"`, `"serial": "a\nb", "product"`, `key "serial"`},
		{"factory", `"product"`, `"factory": {"counter": -1}, "product"`, `key "factory.counter"`},
		{"factory image", `"product"`, `"factory": {"image": {"length": 7}}, "product"`, `key "factory.image"`},
		{"factory version", `"product"`, `"factory": {"version": "../1"}, "product"`, `key "factory.version"`},
		{"too long", `"bu-100"`, `"` + strings.Repeat("x", MaxConfig) + `"`, "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodConfig, tt.old, tt.new, 1)
			if text == goodConfig {
				t.Fatal("nothing was replaced")
			}
			_, err := ParseConfig([]byte(text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: %.200v\nwant:  %s", err, tt.want)
			}
		})
	}
}

// TestConfigOfBootloaders opens what it can of each kind.
func TestConfigOfBootloaders(t *testing.T) {
	const file = `{"type": "file", "dir": "boot"}`
	for _, tt := range []struct{ bootloader, want string }{
		{file, ""},
		{`{"type": "grub", "dir": "/boot/fairlead", "tries": 3}`, ""},
		{`{"type": "uboot", "copies": [{"path": "/dev/mmcblk0", "offset": 1048576}, {"path": "/dev/mmcblk0", "offset": 1052672}]}`, ""},
		{`{"type": "uboot", "copies": [{"path": "env0"}, {"path": "env1"}], "size": 8192}`, ""},
		{`{"type": "grub"}`, `key "bootloader.dir": missing`},
		{`{"type": "grub", "dir": "x", "size": 1024}`, `are of type "uboot"`},
		{`{"type": "grub", "dir": "x", "tries": 8}`, `key "bootloader.tries": 8 is not within 1 and 7`},
		{`{"type": "uboot"}`, `key "bootloader.copies": want the paths and offsets of two copies`},
		{`{"type": "uboot", "copies": [{"path": "env0"}]}`, `key "bootloader.copies"`},
		{`{"type": "uboot", "dir": "x", "copies": [{"path": "env0"}, {"path": "env1"}]}`, `key "bootloader.dir"`},
		{`{"type": "uboot", "copies": [{"path": "env0", "at": 1}]}`, `unknown key "at"; known here: offset, path`},
	} {
		c, err := ParseConfig([]byte(strings.Replace(goodConfig, file, tt.bootloader, 1)))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.bootloader, err, tt.want)
		}
		if c = c.from("/etc/fairlead"); tt.want == "" && len(c.Bootloader.Copies) > 0 && !filepath.IsAbs(c.Bootloader.Copies[1].Path) {
			t.Errorf("%s: relative path %s", tt.bootloader, c.Bootloader.Copies[1].Path)
		}
	}
}

// TestConfiguredBootloaderIsOpened: a bootloader that is not there is an error before anything else is done.
func TestConfiguredBootloaderIsOpened(t *testing.T) {
	dir := t.TempDir()
	for bootloader, want := range map[string]string{
		`{"type": "grub", "dir": "` + dir + `"}`:                                                            "make it with grub-editenv",
		`{"type": "uboot", "size": 1000, "copies": [{"path": "` + dir + `/0"}, {"path": "` + dir + `/1"}]}`: "size 1000, want a multiple of 512",
		`{"type": "uboot", "copies": [{"path": "` + dir + `/0"}, {"path": "` + dir + `/1"}]}`:               "no such file",
	} {
		c, err := ParseConfig([]byte(strings.Replace(goodConfig, `{"type": "file", "dir": "boot"}`, bootloader, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bootloader, err, want)
		}
	}
}

func TestConfigDisabledNeedsNoService(t *testing.T) {
	text := strings.Replace(goodConfig, `"service": "https://fw.example:8443"`, `"enabled": false`, 1)
	if _, err := ParseConfig([]byte(text)); err != nil {
		t.Error(err)
	}
}

func TestLoadConfigMissing(t *testing.T) {
	_, err := LoadConfig(filepath.Join(t.TempDir(), "agent.json"))
	if err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("error: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	f.Add([]byte(`{"slots":[{"a":1}]}`))
	f.Add([]byte(`{"bootloader":{"type":{"dir":[]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		printed, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig(printed); err != nil {
			t.Errorf("printed back: %v\n%s", err, printed)
		}
	})
}
