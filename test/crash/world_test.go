package crash

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
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
	repos                      map[string]string // folders by the newest version that they have
	root                       string
}

// newWorld publishes 1.1.0, 1.2.0 and, in a repository of its own, 1.3.0, which does not work. A device is delivered with 1.0.0.
func newWorld(t testing.TB) *world {
	dir := t.TempDir()
	w := &world{repos: map[string]string{}, root: filepath.Join(dir, "root.json")}
	site := agenttest.New(noon.AddDate(1, 0, 0))
	defer site.Close()
	site.WriteRoot(w.root)
	publish := func(version string, counter int64) *Image {
		b := imageBytes(uint64(counter))
		e := agenttest.Encode(b)
		i := &Image{Version: version, Counter: counter, leaves: Leaves(b), sha256: e.Image.SHA256.String()}
		if counter > 1 {
			site.Release(version, counter, e, nil)
			w.repos[version] = filepath.Join(dir, version)
			site.WriteFolder(w.repos[version])
		}
		return i
	}
	w.factory = publish("1.0.0", 1)
	w.older = publish("1.1.0", 2)
	w.newer = publish("1.2.0", 3)
	w.bad = publish("1.3.0", 4)
	w.repos["1.2.0"] = w.repos["1.3.0"] // a device that has seen the one does not go back to metadata without it
	w.bad.Bad = true
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
	return &Device{
		Config: agent.Config{
			Service: "https://127.0.0.1:1", Root: w.root, State: stateDir, Product: agenttest.Product, Hardware: agenttest.Hardware,
			Factory: agent.Factory{Version: "1.0.0", Counter: 1}, Slots: agent.SlotPaths{A: "/slots/a", B: "/slots/b"}, SlotSize: slotSize,
			Bootloader: agent.BootConfig{Type: "file", Dir: bootDir},
		},
		Images: []*Image{w.factory, w.older, w.newer, w.bad},
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
