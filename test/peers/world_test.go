package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

const (
	product  = "base-unit"
	hardware = "bu-100"
)

// world is a repository with one product, its service, and Fairlead's tools.
type world struct {
	bin, dir string
	url, ca  string // of the port for devices
	operator string // address of the operator's port
	service  int    // the process that serves
	devices  int
}

// newWorld makes a repository without a release; its disk is that of the pairs.
func newWorld(b testing.TB, c cache) *world {
	b.Helper()
	w := &world{bin: fairlead(b), dir: c.scratch(b)}
	w.tool(b, "fairlead-sign", "key", "new", "--no-passphrase", w.at("all"))
	w.tool(b, "fairlead-repo", "init", "--repo", w.at("repo"))
	keys := w.at("repo", "state", "keys")
	w.tool(b, "fairlead-sign", "root", "new", "--out", w.at("first"), "--root-key", w.at("all.pub"), "--targets-key", w.at("all.pub"),
		"--timestamp-key", filepath.Join(keys, "timestamp.pub"), "--snapshot-key", filepath.Join(keys, "snapshot.pub"))
	w.tool(b, "fairlead-sign", "product", "add", "--bundle", w.at("first"), "--key", w.at("all.pub"), product)
	w.signPublish(b, "first")
	return w
}

func (w *world) at(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *world) tool(b testing.TB, tool string, args ...string) {
	b.Helper()
	run(b, append([]string{filepath.Join(w.bin, tool)}, args...)...)
}

func (w *world) signPublish(b testing.TB, bundle string) {
	b.Helper()
	w.tool(b, "fairlead-sign", "sign", "--yes", "--key", w.at("all.key"), w.at(bundle))
	w.tool(b, "fairlead-repo", "publish", "--repo", w.at("repo"), w.at(bundle))
}

// publish makes an image a release, with chunks and without patches, and returns the length of its artifact.
func (w *world) publish(b testing.TB, version, image string) int64 {
	b.Helper()
	w.tool(b, "fairlead-sign", "release", "--repo", w.at("repo"), "--product", product, "--version", version,
		"--hardware", hardware, "--image", image, "--patches", "0", "--out", w.at(version))
	raw, err := os.ReadFile(w.at(version, "targets", firmware.TargetPath(product, version)))
	must(b, err)
	m, err := firmware.ParseManifest(raw)
	must(b, err)
	w.signPublish(b, version)
	must(b, os.RemoveAll(w.at(version)))
	return m.Artifact.Length
}

// serve runs the service at an address until the benchmark ends.
func (w *world) serve(b testing.TB, host string) {
	b.Helper()
	cmd := exec.Command(filepath.Join(w.bin, "fairlead-repo"), "serve", "--repo", w.at("repo"),
		"--listen", host+":0", "--operator", "127.0.0.1:0", "--name", host, "--json")
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	must(b, err)
	background(b, cmd)
	var where struct{ Devices, Operators, CA string }
	if err := json.NewDecoder(stdout).Decode(&where); err != nil {
		b.Fatalf("start the service: %v\n%s", err, log.String())
	}
	w.url, w.ca, w.operator, w.service = "https://"+where.Devices, where.CA, where.Operators, cmd.Process.Pid
}

// device makes a device that has nothing but its configuration, two slots and a release in slot a.
func (w *world) device(b testing.TB, slotA, slotB string, slotSize int64) (config string) {
	b.Helper()
	w.devices++
	dir := w.at(fmt.Sprintf("device-%d", w.devices))
	must(b, os.Mkdir(dir, 0o700))
	text, err := json.Marshal(map[string]any{
		"enabled": false, "ca": w.ca, "proxy": "none", "root": w.at("repo", "metadata", "1.root.json"), "state": "state",
		"product": product, "hardware": hardware, "factory": map[string]any{"version": "1.0.0"},
		"slots": map[string]string{"a": slotA, "b": slotB}, "slot_size": slotSize,
		"bootloader": map[string]string{"type": "file", "dir": "boot"},
	})
	must(b, err)
	config = filepath.Join(dir, "agent.json")
	must(b, os.WriteFile(config, text, 0o600))
	return config
}

// install runs the agent. Before is what starts it, such as ip netns exec; fetched is what it says that it fetched.
func (w *world) install(b testing.TB, config, source string, before ...string) (u usage, fetched int64) {
	b.Helper()
	var out bytes.Buffer
	const rebootNeeded = 4
	u = measure(b, job{stdout: &out, also: []int{rebootNeeded}, args: append(before,
		filepath.Join(w.bin, "fairlead-agent"), "install", "--config", config, "--release", "1.1.0", "--json", source)})
	var said struct {
		State   string
		Fetched int64
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		b.Fatalf("read what the agent says: %v\n%s", err, strings.TrimSpace(out.String()))
	}
	if said.State != "rebooting" {
		b.Fatalf("the agent did not install: %s", out.String())
	}
	return u, said.Fetched
}
