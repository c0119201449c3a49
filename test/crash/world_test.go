package crash

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
)

var seed = flag.Uint64("crash.seed", 1, "of the samples")

const (
	frame    = firmware.MinFrameSize
	slotSize = 4 * frame
)

// noon is when everything happens.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is the repository and the images of all devices here.
type world struct {
	factory, older, newer, bad *Image
	patched                    *Image            // 1.4.0, which has a patch from 1.1.0
	repos                      map[string]string // folders by the newest version that they have
	root                       string
	bases                      agent.SlotPaths // 1.0.0 and 1.1.0 as files: what a patch is applied to is read by the system's means
}

// newWorld publishes 1.1.0, 1.2.0 and, in a repository of its own, 1.3.0, which does not work; and in another 1.4.0, which is much
// like 1.1.0. A device is delivered with 1.0.0.
func newWorld(t testing.TB) *world {
	dir := t.TempDir()
	w := &world{repos: map[string]string{}, root: filepath.Join(dir, "root.json")}
	site := agenttest.New(noon.AddDate(1, 0, 0))
	defer site.Close()
	site.WriteRoot(w.root)
	publish := func(version string, counter int64, b []byte, patches ...firmware.Patch) *Image {
		e := agenttest.Encode(b)
		i := &Image{Version: version, Counter: counter, leaves: Leaves(b), sha256: e.Image.SHA256.String()}
		if counter > 1 {
			site.Release(version, counter, e, func(m *firmware.Manifest) { m.Patches = patches })
			w.repos[version] = filepath.Join(dir, version)
			site.WriteFolder(w.repos[version])
		}
		return i
	}
	w.factory = publish("1.0.0", 1, imageBytes(1))
	w.older = publish("1.1.0", 2, imageBytes(2))
	w.newer = publish("1.2.0", 3, imageBytes(3))
	w.bad = publish("1.3.0", 4, imageBytes(4))
	w.repos["1.2.0"] = w.repos["1.3.0"] // a device that has seen the one does not go back to metadata without it
	w.bad.Bad = true
	like := imageBytes(2)
	for at := 5000; at < len(like); at += frame / 2 {
		copy(like[at:], "a line that is not in the other")
	}
	p := agenttest.MakePatch(imageBytes(2), like)
	site.Serve(p)
	w.patched = publish("1.4.0", 5, like, p.Patch)
	w.bases = agent.SlotPaths{A: filepath.Join(dir, "base-a"), B: filepath.Join(dir, "base-b")}
	for name, b := range map[string][]byte{w.bases.A: imageBytes(1), w.bases.B: imageBytes(2)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// imageBytes has a frame of noise, one of text, one of zeros, and a last one that is not whole.
func imageBytes(seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 3*frame+frame/2+100)
	for i := 0; i < frame; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
	}
	for i := frame; i < 2*frame; {
		i += copy(b[i:2*frame], fmt.Sprintf("unit %d of %d listens to nobody\n", rnd.IntN(1000), seed))
	}
	for i := 3 * frame; i < len(b); {
		i += copy(b[i:], fmt.Sprintf("%d bottles of %d\n", rnd.IntN(1000), seed))
	}
	return b
}

// device is one that is to get to a version.
func (w *world) device(target *Image) *Device {
	slots := agent.SlotPaths{A: "/slots/a", B: "/slots/b"}
	if target == w.patched {
		slots = w.bases
	}
	return &Device{
		Config: agent.Config{
			Service: "https://127.0.0.1:1", Root: w.root, State: stateDir, Product: agenttest.Product, Hardware: agenttest.Hardware,
			Factory: agent.Factory{Version: "1.0.0", Counter: 1}, Slots: slots, SlotSize: slotSize,
			Bootloader: agent.BootConfig{Type: "file", Dir: bootDir},
		},
		Images: []*Image{w.factory, w.older, w.newer, w.bad, w.patched},
		Repo:   w.repos[target.Version], Target: target,
		Clock:  func() time.Time { return noon },
		Limits: install.Limits{Workers: 1, Checkpoint: frame, Buffers: 4 * frame, Attempts: 2, Backoff: time.Millisecond},
	}
}

// delivered is the medium of a device that was never started.
func (w *world) delivered() *Medium {
	m := NewMedium(slotSize)
	copy(m.slots[0][:], w.factory.leaves)
	return m
}

// everything says whether all tests run.
func everything() bool {
	f := flag.Lookup("test.run")
	return f == nil || !strings.Contains(f.Value.String(), "/")
}
