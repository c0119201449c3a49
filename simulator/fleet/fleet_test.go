package fleet

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent"
)

func config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	c := Config{
		Dir: filepath.Join(dir, "fleet"), Units: 3, Service: "https://127.0.0.1:9", CA: filepath.Join(dir, "ca.pem"),
		Root: filepath.Join(dir, "root.json"), ClaimFile: filepath.Join(dir, "claim"), Product: "base-unit", Hardware: "bu-100",
		Image: filepath.Join(dir, "image"), Factory: agent.Factory{Version: "1.0.0", Counter: 1},
	}
	for _, path := range []string{c.CA, c.Root, c.ClaimFile, c.Image} {
		if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func newFleet(t *testing.T, c Config) *Fleet {
	t.Helper()
	f, err := New(t.Context(), c, "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNewRefusesBeforeAnythingIsMade(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Config)
		want  string
	}{
		"no units":         {func(c *Config) { c.Units = 0 }, "units: 0 is not within"},
		"too many":         {func(c *Config) { c.Units = MaxUnits + 1 }, "is not within"},
		"product":          {func(c *Config) { c.Product = "../x" }, "product"},
		"hardware":         {func(c *Config) { c.Hardware = "" }, "hardware"},
		"missing image":    {func(c *Config) { c.Image += "x" }, "image"},
		"root is a folder": {func(c *Config) { c.Root = filepath.Dir(c.Root) }, "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			test.spoil(&c)
			_, err := New(t.Context(), c, "1.0.0", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the fleet's folder was made: %v", err)
			}
		})
	}
}

func TestFleetIsDeliveredOnceAndTakenOnce(t *testing.T) {
	c := config(t)
	f := newFleet(t, c)
	if _, err := New(t.Context(), c, "1.0.0", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrRunning) {
		t.Errorf("a second process: %v, want ErrRunning", err)
	}
	powerOff(t, f)

	slot := filepath.Join(c.Dir, "unit-002", "slot-a.img")
	if got, err := os.ReadFile(slot); err != nil || string(got) != "image" {
		t.Fatalf("slot a from the factory: %q, %v", got, err)
	}
	if err := os.WriteFile(slot, []byte("written since"), 0o600); err != nil {
		t.Fatal(err)
	}
	powerOff(t, newFleet(t, c))
	if got, _ := os.ReadFile(slot); string(got) != "written since" {
		t.Errorf("delivering again overwrote the slot: %q", got)
	}
	cfg, err := agent.LoadConfig(filepath.Join(c.Dir, "unit-002", "agent.json"))
	if err != nil || cfg.Serial != "SIM000002" {
		t.Errorf("a unit's configuration is not the agent's: %v, serial %q", err, cfg.Serial)
	}
}

func powerOff(t *testing.T, f *Fleet) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(f.Run(ctx), f.Close()); err != nil {
		t.Fatal(err)
	}
}
