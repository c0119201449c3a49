package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/firmware"
)

const slotSize = 1 << 20

// noise is what no patch and no compression makes small.
func noise(seed uint64, n int) []byte {
	rnd, b := rand.NewChaCha8([32]byte{byte(seed)}), make([]byte, n)
	_, _ = rnd.Read(b)
	return b
}

// device is a folder with all that a device has, and a repository beside it.
type device struct {
	dir     string
	factory []byte // image of 1.0.0, in slot a
	newer   []byte // and of 1.1.0, in the repository
}

// edits change a configuration before it is written.
type edits map[string]any

// deliver makes a device with 1.0.0 and a repository with 1.1.0 and, if asked for, a patch between them.
func deliver(t testing.TB, dir string, site *agenttest.Site, size int, patched bool, edit edits) device {
	t.Helper()
	d := device{dir: dir, factory: noise(1, size), newer: noise(2, size)}
	var patches []firmware.Patch
	if patched {
		d.newer = bytes.Clone(d.factory)
		for at := 0; at < len(d.newer); at += 50_000 {
			copy(d.newer[at:], "another line of another release")
		}
		p := agenttest.MakePatch(d.factory, d.newer)
		site.Serve(p)
		patches = append(patches, p.Patch)
	}
	site.Release("1.1.0", 2, agenttest.Encode(d.newer), func(m *firmware.Manifest) { m.Patches = patches })
	site.WriteCA(filepath.Join(dir, "ca.pem"))
	site.WriteRoot(filepath.Join(dir, "root.json"))
	site.WriteFolder(filepath.Join(dir, "repo"))
	d.write(t, edits{"service": site.Server.URL, "ca": "ca.pem"}, edit)
	return d
}

// write writes the configuration of a device, and its slot a.
func (d device) write(t testing.TB, edit ...edits) {
	t.Helper()
	config := map[string]any{
		"service": "https://127.0.0.1:1", "root": "root.json", "state": "state", "proxy": "none", "transports": []string{},
		"product": agenttest.Product, "hardware": agenttest.Hardware, "serial": "sn-1", "enabled": false,
		"factory": map[string]any{"version": "1.0.0", "counter": 1},
		"slots":   map[string]string{"a": "slot-a", "b": "slot-b"}, "slot_size": (len(d.factory) + slotSize) / slotSize * slotSize,
		"bootloader": map[string]string{"type": "file", "dir": "boot"},
	}
	for _, e := range edit {
		maps.Copy(config, e)
	}
	b, err := json.Marshal(config)
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(d.dir, "agent.json"), b, 0o600))
	ok(t, os.WriteFile(filepath.Join(d.dir, "claim"), []byte(agenttest.Claim), 0o600))
	slot := make([]byte, config["slot_size"].(int))
	copy(slot, d.factory)
	ok(t, os.WriteFile(filepath.Join(d.dir, "slot-a"), slot, 0o600))
}

// whole says what of a device in a folder is not as it must be: the committed slot, and each slot that could be started.
func (d device) whole(dir string) error {
	f, err := boot.OpenFile(filepath.Join(dir, "boot"), boot.FileOptions{})
	if err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	if s.Lost {
		return fmt.Errorf("the boot state is lost")
	}
	if a := read(dir, "slot-a"); !bytes.HasPrefix(a, d.factory) {
		return fmt.Errorf("slot a was written")
	}
	if b := read(dir, "slot-b"); (s.B.Bootable || s.Trial == boot.B || s.Committed == boot.B) && !bytes.HasPrefix(b, d.newer) {
		return fmt.Errorf("slot b may be started and does not hold the image: %+v", s)
	}
	return nil
}

func read(dir, name string) []byte {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return b
}

// Exit codes of the agent that a script branches on.
const (
	exitNothing = 3
	exitReboot  = 4
	exitRunning = 9
)

func agentJobs(t *testing.T, bin string) (jobs []job) {
	site := agenttest.New(time.Now().Add(48 * time.Hour))
	t.Cleanup(site.Close)
	at := func(dir string, verb ...string) ended {
		return run(t, dir, append([]string{bin, "--config", "agent.json"}, verb...)...)
	}
	add := func(name string, patched bool, done int, before [][]string, argv ...string) {
		ready := filepath.Join(scratch(t), "ready")
		ok(t, os.MkdirAll(ready, 0o700))
		d := deliver(t, ready, site, 700_000, patched, edits{"enabled": argv[0] == "enroll"})
		for _, verb := range before {
			at(ready, verb...)
		}
		jobs = append(jobs, job{
			name: name, argv: append([]string{bin, "--config", "agent.json"}, argv...), ready: ready, done: done,
			look:  func(dir string, code int) error { return d.look(dir, argv[0], code) },
			again: func(_ *testing.T, dir string) error { return d.arrive(dir, argv, done, at) },
		})
	}
	add("install", false, exitReboot, nil, "install", "repo")
	add("commit", false, 0, [][]string{{"install", "repo"}, {"boot"}}, "commit")
	if thorough {
		add("install by a patch", true, exitReboot, nil, "install", "repo")
		add("roll back", false, exitReboot, [][]string{{"install", "repo"}, {"boot"}}, "rollback")
		add("enrol", false, 0, nil, "enroll", "--claim-file", "claim")
	}
	return jobs
}

// look judges what the verb has left, and whether its word was true.
func (d device) look(dir, verb string, code int) error {
	if err := d.whole(dir); err != nil {
		return err
	}
	f, err := boot.OpenFile(filepath.Join(dir, "boot"), boot.FileOptions{})
	if err != nil {
		return err
	}
	s, err := f.State()
	switch {
	case err != nil:
		return err
	case verb == "install" && code == exitReboot && s.Trial != boot.B:
		return fmt.Errorf("it says that a reboot will try slot b: %+v", s)
	case verb == "commit" && code == 0 && s.Committed != boot.B:
		return fmt.Errorf("it says that slot b is committed: %+v", s)
	case verb == "rollback" && code == exitReboot && (s.Committed != boot.A || s.B.Bootable):
		return fmt.Errorf("it says that it goes back to slot a: %+v", s)
	case verb == "enroll" && code == 0 && len(read(dir, "state/device.key")) == 0:
		return fmt.Errorf("it says that it has an identity, and has no key")
	}
	return nil
}

// arrive types what a script would until the device runs the newest release, committed.
func (d device) arrive(dir string, argv []string, done int, at func(string, ...string) ended) error {
	if argv[0] == "enroll" {
		if e := at(dir, argv...); e.code != done && e.code != exitNothing {
			return fmt.Errorf("enroll: exit code %d: %s", e.code, e.out)
		}
	}
	var said string
	for range 6 {
		e := at(dir, "install", "repo")
		said = e.out
		switch e.code {
		case exitReboot:
			at(dir, "boot")
		case exitNothing:
			return d.arrived(dir)
		}
		if err := d.whole(dir); err != nil {
			return err
		}
		at(dir, "commit")
	}
	return fmt.Errorf("the device does not come to the newest release: %s", said)
}

func (d device) arrived(dir string) error {
	f, err := boot.OpenFile(filepath.Join(dir, "boot"), boot.FileOptions{})
	if err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	if s.Committed != boot.B || s.Running != boot.B {
		return fmt.Errorf("nothing is left to do, and slot b is not committed: %+v", s)
	}
	return d.whole(dir)
}
