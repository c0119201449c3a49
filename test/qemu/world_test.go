package qemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/simulator/site"
)

func TestMain(m *testing.M) {
	site.Child()
	os.Exit(m.Run())
}

const (
	product, hardware = "base-unit", "bu-100"
	factory, older    = "1.0.0", "0.9.0" // what lies in slot a and in slot b
)

// world is the service, and all images.
type world struct {
	dir   string
	site  *site.Site
	parts parts
	slots map[string][]byte // by version
	next  int64             // release counter

	env    [2]int64 // where the environment blocks lie
	starts *starts
}

// newWorld starts the service; nil where the machine lacks what is needed, which the log says.
func newWorld(t *testing.T) *world {
	if !need(t, "qemu-system-x86 grub-pc-bin grub-common e2fsprogs", "qemu-system-x86_64", "grub-mkstandalone", "mke2fs") {
		return nil
	}
	kernel, modules, fsck := findDebian(t)
	if kernel == "" {
		return nil
	}
	dir := t.TempDir()
	w := &world{dir: dir, slots: map[string][]byte{}, parts: parts{modules: modules}, next: 2,
		starts: &starts{dir: dir, max: mostStarts}}
	for name, into := range map[string]*[]byte{"./testinit": &w.parts.testinit, "../../agent/cmd/fairlead-agent": &w.parts.agent} {
		out := filepath.Join(dir, filepath.Base(name))
		build := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w -X main.version=1.0.0", "-o", out, name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		output(t, build)
		var err error
		*into, err = os.ReadFile(out)
		must(t, err)
	}
	var err error
	w.parts.kernel, err = os.ReadFile(kernel)
	must(t, err)
	w.parts.fsck, err = os.ReadFile(fsck)
	must(t, err)
	w.site, err = site.Make(t.Context(), site.Options{Dir: filepath.Join(dir, "site"), Product: product, Hardware: []string{hardware}})
	must(t, err)
	must(t, w.site.Start(t.Context()))
	t.Cleanup(func() { must(t, w.site.Stop()) })
	must(t, w.site.Admit(t.Context(), 10))
	for _, version := range []string{factory, older} {
		w.slots[version] = w.parts.slotImage(t, dir, version, healthy)
	}
	return w
}

// publish makes a release with a fault.
func (w *world) publish(t *testing.T, version, fault string) {
	t.Helper()
	w.slots[version] = w.parts.slotImage(t, w.dir, version, fault)
	path := filepath.Join(w.dir, "image")
	must(t, os.WriteFile(path, w.slots[version], 0o644))
	must(t, w.site.Publish(t.Context(), site.Release{Version: version, Image: path, Counter: w.next}))
	w.next++
}

// device is a disk as the factory makes it, with a name of its own.
func (w *world) device(t *testing.T, serial string, tries int, proves time.Duration) *disk {
	data := make([]byte, diskSize)
	copy(data, bootSectors(t, w.dir, patient))
	copy(data[envAt:], environment(t, w.dir))
	w.findEnv(t)
	copy(data[slotAAt:], w.slots[factory])
	copy(data[slotBAt:], w.slots[older])
	copy(data[dataAt:], w.dataPartition(t, serial, tries, proves))
	return newDisk(data)
}

func (w *world) dataPartition(t *testing.T, serial string, tries int, proves time.Duration) []byte {
	tree := filepath.Join(w.dir, "data")
	etc := filepath.Join(tree, "fairlead")
	must(t, os.MkdirAll(etc, 0o755))
	_, port, err := net.SplitHostPort(w.site.Address())
	must(t, err)
	for name, from := range map[string]string{"ca.pem": w.site.CA(), "root.json": w.site.Root(), "claim": w.site.Claim()} {
		data, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(etc, name), data, 0o600))
	}
	config, err := json.Marshal(agent.Config{
		Service: "https://localhost:" + port, CA: "ca.pem", Root: "root.json", ClaimFile: "claim", Proxy: "none", Transports: []string{"mqtts"},
		State: "/data/state", Product: product, Hardware: hardware, Serial: serial, Factory: agent.Factory{Version: factory, Counter: 1},
		Slots: agent.SlotPaths{A: "/dev/vda2", B: "/dev/vda3"}, Bootloader: agent.BootConfig{Type: "grub", Dir: "/env/fairlead", Tries: tries},
		Health: agent.HealthConfig{Deadline: agent.Duration(proves)},
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(etc, "agent.json"), config, 0o600))
	return fileSystem(t, tree, dataSize, "ext4", "-b", "1024", "-J", "size=1")
}

// Times, of which the machines' own are those of a computer that others use, too.
const (
	unhurried = 2 * time.Minute // for a release on trial to reach the service
	patience  = 5 * time.Minute // for anything else that must come
)

// How long the watchdog waits, from the start of the kernel to the agent's first word. A patient one never bites because the computer
// that the machine is emulated on is busy.
const patient, impatient = 3 * time.Minute, 25 * time.Second

// mostStarts is how many starts are kept, of some 90 MiB each.
const mostStarts = 12

// findEnv notes where on the disk the two environment blocks lie. They are never moved.
func (w *world) findEnv(t *testing.T) {
	image := filepath.Join(w.dir, "env.img")
	for i := range w.env {
		out, err := exec.Command("debugfs", "-R", fmt.Sprint("blocks /fairlead/env.", i), image).Output()
		must(t, err)
		block, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		must(t, err)
		w.env[i] = envAt + 1024*block
	}
}

// state is what the environment says, to the agent's own package.
func (w *world) state(d *disk) (s boot.State, err error) {
	dir, err := os.MkdirTemp(w.dir, "env-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	for i, at := range w.env {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("env.", i)), d.data[at:][:1024], 0o644); err != nil {
			return s, err
		}
	}
	e, err := boot.OpenGRUB(dir, boot.EnvOptions{Running: boot.A})
	if err != nil {
		return s, err
	}
	return e.State()
}

// holds is the version that a slot holds, or "" if none as a whole.
func (w *world) holds(d *disk, slot boot.Slot) string {
	at := map[boot.Slot]int{boot.A: slotAAt, boot.B: slotBAt}[slot]
	for version, image := range w.slots {
		if bytes.Equal(d.data[at:][:len(image)], image) {
			return version
		}
	}
	return ""
}

// whole says what is wrong with a disk that has no power. Every slot that may be started must hold a whole image, and whoever updates
// slot b must leave slot a alone.
func (w *world) whole(d *disk) error {
	s, err := w.state(d)
	if err != nil {
		return err
	}
	if s.Lost {
		return errors.New("the boot state is lost")
	}
	if w.holds(d, boot.A) != factory {
		return errors.New("slot a, in which the device was delivered, was written to")
	}
	for _, slot := range []boot.Slot{boot.A, boot.B} {
		if s.Of(slot).Bootable && w.holds(d, slot) == "" {
			return fmt.Errorf("slot %s may be started and holds no whole image: %+v", slot, s)
		}
	}
	return nil
}

// runs says whether a disk at rest is committed to a version, has it, and would start it next.
func (w *world) runs(d *disk, version string) error {
	s, err := w.state(d)
	if err != nil {
		return err
	}
	if got := w.holds(d, s.Committed); got != version || s.Trial != "" || s.Lost {
		return fmt.Errorf("the committed slot holds %q, want %q: %+v", got, version, s)
	}
	return w.whole(d)
}

// deliver makes a device and lets it enrol.
func (w *world) deliver(t *testing.T, serial string, tries int, proves time.Duration) *disk {
	t.Helper()
	d := w.device(t, serial, tries, proves)
	m := powerOn(t, d, w.starts)
	defer m.off()
	m.wait(patience, "FL status: idle, connected")
	m.off()
	must(t, w.runs(d, factory))
	return d
}
