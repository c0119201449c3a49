package main

import (
	"os"
	"strings"
	"testing"
)

// TestUnit: what the unit must say, and must not, to bring a device back.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("fairlead-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	for key, want := range map[string]string{
		"Type": "notify", "Restart": "always", "StartLimitIntervalSec": "0", "RestartPreventExitStatus": "4",
		"Wants": "network-online.target", "PrivateDevices": "no", "SocketBindDeny": "any",
	} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
	for _, key := range []string{
		"Requires", "BindsTo", "Requisite", // a broken network must not keep the agent from going back
		"ProtectClock", // implies DeviceAllow=, and so takes the slots away
		"MemoryMax",    // counts the page cache of the slot being written
	} {
		if _, is := settings[key]; is {
			t.Errorf("%s is set", key)
		}
	}
	if settings["WatchdogSec"] == "" {
		t.Error("no watchdog")
	}
}
