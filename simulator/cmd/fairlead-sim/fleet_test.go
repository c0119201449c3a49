package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/simulator/fleet"
)

// asMain has the test's program be fairlead-sim.
const asMain = "FAIRLEAD_SIM_MAIN"

// powered is a process that has a part of a fleet.
type powered struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
}

func powerOn(t *testing.T, args ...string) *powered {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &powered{t: t, cmd: exec.Command(self, append([]string{"fleet", "--json"}, args...)...)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), asMain+"=1"), os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	late := time.AfterFunc(time.Minute, p.kill)
	t.Cleanup(func() { late.Stop() })
	p.out = bufio.NewScanner(out)
	return p
}

func (p *powered) kill() { _ = p.cmd.Process.Kill() }

// until waits until its unit comes into a state; false if the process ends before that.
func (p *powered) until(state wire.State) bool {
	for p.out.Scan() {
		var e fleet.Event
		if json.Unmarshal(p.out.Bytes(), &e) == nil && e.State == state {
			return true
		}
	}
	return false
}

// identity is what a unit is at the service, once it is anything.
func identity(t *testing.T, dir, unit string) (device string) {
	t.Helper()
	path := filepath.Join(dir, unit, "state", "identity.json")
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		var id struct{ Device string }
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &id) == nil {
			return id.Device
		}
	}
	t.Fatalf("%s did not enrol", unit)
	return ""
}

// TestFleetSurvives: both processes of a fleet are killed in the midst of an update. Started again, its units are who they were, and go on.
func TestFleetSurvives(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	site := agenttest.New(time.Now().Add(time.Hour))
	defer site.Close()
	old, next := make([]byte, 2<<20), make([]byte, 2<<20)
	for i := range next {
		next[i] = byte(i * i >> 8)
	}
	site.Release("1.1.0", 2, agenttest.Encode(next), nil)
	site.WriteCA(at("ca"))
	site.WriteRoot(at("root"))
	for name, b := range map[string][]byte{"claim": []byte(agenttest.Claim), "image": old} {
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--dir", at("fleet"), "--units", "2", "--service", site.Server.URL, "--ca", at("ca"), "--root", at("root"), "--claim-file", at("claim"),
		"--product", agenttest.Product, "--hardware", agenttest.Hardware, "--image", at("image"), "--release", "1.0.0", "--fallback-poll", "50ms"}
	both := func() (parts []*powered) {
		for i := range 2 {
			parts = append(parts, powerOn(t, append(args, "--part", fmt.Sprintf("%d/2", i+1))...))
		}
		return parts
	}
	before, after, done := map[string]string{}, map[string]string{}, map[string]bool{}
	for i, p := range both() {
		unit := fleet.UnitName(i + 1)
		before[unit] = identity(t, at("fleet"), unit)
		site.Direct(before[unit], "1.1.0", nil)
		if !p.until(wire.Downloading) {
			t.Errorf("%s did not begin", unit)
		}
		p.kill()
		done[unit] = p.until(wire.Committed) // it was quicker
		_ = p.cmd.Wait()
	}
	for i, p := range both() {
		unit := fleet.UnitName(i + 1)
		if !done[unit] && !p.until(wire.Committed) {
			t.Errorf("%s did not go on", unit)
		}
		after[unit] = identity(t, at("fleet"), unit)
	}
	if !maps.Equal(before, after) {
		t.Errorf("they were %v and are %v", before, after)
	}
}
