package peers

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
)

const tenant = "acme"

// addTenant makes a tenant whose devices enrol with the claim token that it returns. The service runs.
func (w *world) addTenant(b testing.TB) (claim string) {
	b.Helper()
	must(b, os.WriteFile(w.at("tenant.pub"), []byte(w.ask(b, "tenant", "key", tenant)), 0o600))
	online := w.at("tenant.pub")
	w.tool(b, "fairlead-sign", "root", "new", "--director", "--out", w.at("director"), "--root-key", w.at("all.pub"),
		"--targets-key", online, "--timestamp-key", online, "--snapshot-key", online)
	w.tool(b, "fairlead-sign", "sign", "--yes", "--key", w.at("all.key"), w.at("director"))
	w.ask(b, "tenant", "add", tenant, "--root", w.at("director"))
	return w.ask(b, "claim-token", "new", "--tenant", tenant, "--uses", "1000")
}

// ask runs a command of fairlead-repo against the service.
func (w *world) ask(b testing.TB, args ...string) string {
	b.Helper()
	return output(b, append(append([]string{filepath.Join(w.bin, "fairlead-repo")}, args...), "--repo", w.at("repo"), "--service", w.operator)...)
}

// directed runs an enrolled device in the agent's daemon until it has installed what it is directed to, and returns how
// long that took: from the direction's arrival until the slot is proven and about to be tried.
func (w *world) directed(b testing.TB, config, claim string, before ...string) time.Duration {
	b.Helper()
	dir := filepath.Dir(config)
	w.enable(b, config, claim)
	var log bytes.Buffer
	args := append(before, filepath.Join(w.bin, "fairlead-agent"), "run", "--config", config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &log
	must(b, cmd.Start())
	defer stop(cmd)
	until(b, &log, func() bool { return w.online(b) })
	w.ask(b, "direct", "--tenant", tenant, "--release", product+"/1.1.0", "--all")
	until(b, &log, func() bool { return inState(dir, "downloading", "installing", "rebooting") })
	begun := time.Now()
	until(b, &log, func() bool { return inState(dir, "rebooting", "failed", "rejected") })
	took := time.Since(begun)
	if !inState(dir, "rebooting") {
		b.Fatalf("the agent did not install:\n%s", log.String())
	}
	return took
}

// enable switches the cloud connection of a device on, which enrols then.
func (w *world) enable(b testing.TB, config, claim string) {
	b.Helper()
	raw, err := os.ReadFile(config)
	must(b, err)
	var c map[string]any
	must(b, json.Unmarshal(raw, &c))
	c["enabled"], c["service"], c["claim_file"] = true, w.url, "claim"
	raw, err = json.Marshal(c)
	must(b, err)
	must(b, os.WriteFile(config, raw, 0o600))
	must(b, os.WriteFile(filepath.Join(filepath.Dir(config), "claim"), []byte(claim), 0o600))
}

func (w *world) online(b testing.TB) bool {
	b.Helper()
	var all struct{ Devices []struct{ Online bool } }
	must(b, json.Unmarshal([]byte(w.ask(b, "device", "list", "--json", "--tenant", tenant)), &all))
	for _, d := range all.Devices {
		if d.Online {
			return true
		}
	}
	return false
}

// inState says whether an agent's update stands at one of these.
func inState(dir string, states ...string) bool {
	raw, err := durable.LoadPair(filepath.Join(dir, "state"), "state")
	var at struct{ State string }
	return err == nil && json.Unmarshal(raw, &at) == nil && slices.Contains(states, at.State)
}

// until waits for something that comes within some minutes.
func until(b testing.TB, log *bytes.Buffer, done func() bool) {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the agent does not get there:\n%s", log.String())
		}
	}
}
