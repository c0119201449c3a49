package install

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	if strings.HasPrefix(os.TempDir(), "/dev/") {
		os.Setenv("TMPDIR", "/var/tmp") // below /dev, no file is made for a slot
	}
	goleak.VerifyTestMain(m)
}

const testFrame = firmware.MinFrameSize

// release is an image, its artifact and its manifest.
type release struct {
	image    []byte
	artifact []byte
	head     *firmware.Head
	manifest *firmware.Manifest

	base, patch []byte // of a release with a patch
}

func makeRelease(t testing.TB, image []byte) release { return makeReleaseOf(t, image, testFrame) }

func makeReleaseOf(t testing.TB, image []byte, frame int) release {
	t.Helper()
	spool, err := os.CreateTemp(t.TempDir(), "spool")
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var artifact bytes.Buffer
	e, err := firmware.Encode(t.Context(), &artifact, bytes.NewReader(image), int64(len(image)), spool, firmware.EncodeOptions{FrameSize: frame})
	if err != nil {
		t.Fatal(err)
	}
	head, err := firmware.ParseHead(artifact.Bytes()[:e.Artifact.Head.Length])
	if err != nil {
		t.Fatal(err)
	}
	m := &firmware.Manifest{
		Schema: 1, Product: "base-unit", Hardware: []string{"bu-1"}, Version: "1.1.0", Counter: 2,
		Image: e.Image, Artifact: e.Artifact,
	}
	return release{image: image, artifact: artifact.Bytes(), head: head, manifest: m}
}

// testImage has, in turn, frames of text, of noise and of zeros, and a last frame that is not whole.
func testImage(frames int, seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	image := make([]byte, frames*testFrame-testFrame/3)
	for i := range frames {
		frame := image[i*testFrame : min((i+1)*testFrame, len(image))]
		switch (uint64(i) + seed) % 4 {
		case 0, 1:
			for j := 0; j < len(frame); {
				j += copy(frame[j:], fmt.Sprintf("unit %d of %d listens to nobody\n", rnd.IntN(1000), seed))
			}
		case 2:
			fill(rnd, frame)
		}
	}
	return image
}

func fill(rnd *rand.Rand, p []byte) {
	for len(p) > 0 {
		p = p[copy(p, binary.LittleEndian.AppendUint64(nil, rnd.Uint64())):]
	}
}

// memorySource serves one artifact, and the patch if there is one, and remembers what was asked for. open and openPatch, if
// set, may answer in its place; they get the number of the request for that file, from 0.
type memorySource struct {
	release
	open, openPatch func(n int, offset, length int64) (io.ReadCloser, error)

	mu                sync.Mutex
	asked, askedPatch []Extent
}

var errLine = errors.New("the line broke")

func (s *memorySource) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, asked, open := s.artifact, &s.asked, s.open
	if len(s.manifest.Patches) > 0 && name == "blobs/"+s.manifest.Patches[0].SHA256.String() {
		file, asked, open = s.patch, &s.askedPatch, s.openPatch
	} else if name != "blobs/"+s.manifest.Artifact.SHA256.String() {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	n := len(*asked)
	*asked = append(*asked, Extent{offset, length})
	if open != nil {
		if body, err := open(n, offset, length); body != nil || err != nil {
			return body, err
		}
	}
	return io.NopCloser(bytes.NewReader(file[offset : offset+length])), nil
}

func (s *memorySource) at(offset, length int64) io.ReadCloser {
	return io.NopCloser(bytes.NewReader(s.artifact[offset : offset+length]))
}

// framesAsked lists the stored frames of which a request has a byte.
func (s *memorySource) framesAsked() []int {
	var frames []int
	for i := range s.head.Len() {
		f := s.head.Frame(i)
		if f.Kind != firmware.FrameZero && slices.ContainsFunc(s.asked, func(e Extent) bool { return e.Offset < f.Offset+f.Stored && f.Offset < e.Offset+e.Length }) {
			frames = append(frames, i)
		}
	}
	return frames
}

// brokenReader gives n bytes and then fails.
func brokenReader(r io.Reader, n int64) io.ReadCloser {
	return io.NopCloser(io.MultiReader(io.LimitReader(r, n), errReader{}))
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errLine }

// plan is an install with small limits: checkpoints every fourth frame, requests of one frame of noise or some of text.
func plan(t testing.TB, s *memorySource, d Device, journal string) Plan {
	return Plan{
		Manifest: s.manifest, Source: s, Target: d, Slot: "b", Journal: journal,
		Limits: Limits{Checkpoint: 4 * testFrame, Request: testFrame, Buffers: 8 * testFrame, Backoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond},
	}
}

// fileSlot makes a slot file that holds n old bytes, and returns its path.
func fileSlot(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slot-b")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xA5}, n), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openTestSlot(t testing.TB, path string, o SlotOptions) Device {
	t.Helper()
	d, err := OpenSlot(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// checkSlot compares the slot, read by other means than the code under test, with the image, and what lies beyond it
// with the old bytes.
func checkSlot(t testing.TB, path string, image []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < len(image) || !bytes.Equal(got[:len(image)], image) {
		t.Fatalf("slot %s does not hold the image", path)
	}
	checkOld(t, got, len(image))
}

// checkOld makes sure that what lies beyond an image is as old as it was.
func checkOld(t testing.TB, slot []byte, from int) {
	t.Helper()
	if beyond := slot[from:]; bytes.Count(beyond, []byte{0xA5}) != len(beyond) {
		t.Fatalf("a byte beyond byte %d of the slot was changed", from)
	}
}

// journaled is how many leading frames the journal calls durable; -1 without a journal.
func journaled(t testing.TB, dir string) int {
	t.Helper()
	j := journal{dir: dir}
	r, err := j.load()
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Durable) == 0 || r.Durable[0].Offset != 0 {
		return 0
	}
	return int((r.Durable[0].Length + testFrame - 1) / testFrame)
}
