package delta

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
)

// bench is a folder with "base", "image" and "patch" from the one to the other: frames of zeros, equal ones, changed
// ones and new ones, and a last one that is short and ends within its third page.
type bench struct {
	*testing.T
	dir         string
	base, image []byte
	head        *firmware.Head
}

const benchFrame = 1 << 16

func newBench(t *testing.T) *bench {
	r := rand.New(rand.NewPCG(7, 1))
	b := &bench{T: t, dir: t.TempDir(), base: noise32(r, 10*benchFrame)}
	clear(b.base[3*benchFrame : 5*benchFrame])
	b.image = edited(r, b.base, 0)
	for i := 0; i < 2*benchFrame; i += 911 {
		b.image[i]++
	}
	copy(b.image[6*benchFrame:], noise32(r, benchFrame))
	copy(b.image[8*benchFrame:], bytes.Repeat([]byte("something new. "), 4000))
	b.image = append(b.image, b.base[:2*directAlign+1234]...)
	patch, _ := create(t, b.base, b.image, Options{FrameSize: benchFrame})
	b.put("base", b.base)
	b.put("patch", patch)
	var err error
	if b.head, err = firmware.ReadPatchHead(bytes.NewReader(patch)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) put(name string, data []byte) {
	b.Helper()
	if err := os.WriteFile(b.path(name), data, 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) []byte {
	b.Helper()
	data, err := os.ReadFile(b.path(name))
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func (b *bench) apply(o ApplyOptions) error {
	return ApplyFile(b.Context(), b.path("base"), b.path("patch"), b.path("image"), o)
}

// files is how many files there are, whatever their names.
func (b *bench) files() int {
	b.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	return len(entries)
}

func TestApply(t *testing.T) {
	b := newBench(t)
	kinds := map[byte]bool{}
	for i := range b.head.Len() {
		kinds[b.head.Frame(i).Kind] = true
	}
	if !kinds[firmware.FrameZero] || !kinds[firmware.FrameDelta] || !kinds[firmware.FrameRaw] {
		t.Fatalf("kinds of frames: %v", kinds)
	}
	for name, o := range map[string]ApplyOptions{
		"as it comes": {}, "one worker": {Workers: 1}, "more workers than frames": {Workers: 40}, "base checked": {CheckBase: true},
	} {
		t.Run(name, func(t *testing.T) {
			var told []int64
			o.Progress = func(done, total int64) {
				if total != int64(len(b.image)) {
					t.Errorf("total %d", total)
				}
				told = append(told, done)
			}
			b.put("image", []byte("what was there before"))
			if err := b.apply(o); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.get("image"), b.image) {
				t.Error("another image came out")
			}
			if len(told) != b.head.Len() || told[len(told)-1] != int64(len(b.image)) {
				t.Errorf("progress %v", told)
			}
			if n := b.files(); n != 3 {
				t.Errorf("%d files", n)
			}
		})
	}
}

func TestApplyLeavesHoles(t *testing.T) {
	b := newBench(t)
	if err := b.apply(ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(b.path("image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil || hole != 3*benchFrame {
		t.Errorf("first hole at %d (%v), want %d", hole, err, 3*benchFrame)
	}
}

func TestApplyMakesImagesThatEndInZeros(t *testing.T) {
	for _, n := range []int{0, 1, benchFrame, 5*benchFrame + 17} {
		b := &bench{T: t, dir: t.TempDir()}
		b.put("base", []byte("anything"))
		patch, _ := create(t, b.get("base"), make([]byte, n), Options{FrameSize: benchFrame})
		b.put("patch", patch)
		if err := b.apply(ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.get("image"), make([]byte, n)) {
			t.Errorf("%d zeros came out as %d bytes", n, len(b.get("image")))
		}
	}
}

func TestApplyRefusals(t *testing.T) {
	good := newBench(t)
	stored := good.head.Frame(0)
	flip := func(name string, at int64) func(*bench) {
		return func(b *bench) {
			data := b.get(name)
			data[at] ^= 0x10
			b.put(name, data)
		}
	}
	want := "made for the image of 655360 bytes with SHA-256 " + good.head.From().SHA256.String()
	for name, c := range map[string]struct {
		spoil func(*bench)
		check bool
		is    error
		say   string
	}{
		"base too short":          {spoil: func(b *bench) { b.put("base", b.base[1:]) }, is: ErrBase, say: "it has 655359 bytes"},
		"base too long":           {spoil: func(b *bench) { b.put("base", append(bytes.Clone(b.base), 0)) }, is: ErrBase, say: "it has 655361 bytes"},
		"base empty":              {spoil: func(b *bench) { b.put("base", nil) }, is: ErrBase, say: want},
		"another base":            {spoil: func(b *bench) { b.put("base", make([]byte, len(b.base))) }, is: ErrBase, say: want},
		"a bit of the base":       {spoil: flip("base", 5*benchFrame+1), is: ErrBase, say: want},
		"a bit that is not used":  {spoil: flip("base", 6*benchFrame+5), check: true, is: ErrBase, say: "its SHA-256 is"},
		"base is a folder":        {spoil: func(b *bench) { b.remove("base"); b.mkdir("base") }, say: "neither a file nor a block device"},
		"no base":                 {spoil: func(b *bench) { b.remove("base") }, is: fs.ErrNotExist, say: "base"},
		"no patch":                {spoil: func(b *bench) { b.remove("patch") }, is: fs.ErrNotExist, say: "patch"},
		"patch cut off":           {spoil: func(b *bench) { p := b.get("patch"); b.put("patch", p[:len(p)-1]) }, is: firmware.ErrCorrupt, say: "copy it again"},
		"patch cut in its head":   {spoil: func(b *bench) { b.put("patch", b.get("patch")[:80]) }, is: firmware.ErrCorrupt, say: "patch"},
		"patch with more behind":  {spoil: func(b *bench) { b.put("patch", append(b.get("patch"), 1)) }, is: firmware.ErrCorrupt, say: "copy it again"},
		"a bit of the head":       {spoil: flip("patch", 80), is: firmware.ErrCorrupt, say: "patch"},
		"a bit of a frame":        {spoil: flip("patch", stored.Offset+stored.Stored/2), is: firmware.ErrCorrupt, say: "frame 0"},
		"patch is empty":          {spoil: func(b *bench) { b.put("patch", nil) }, is: firmware.ErrCorrupt, say: "patch"},
		"patch is something else": {spoil: func(b *bench) { b.put("patch", bytes.Repeat([]byte("text "), 100)) }, is: firmware.ErrFormat, say: "patch"},
		"patch is an artifact": {spoil: func(b *bench) {
			if _, err := firmware.EncodeFile(b.Context(), b.path("base"), b.path("patch"), firmware.EncodeOptions{}); err != nil {
				b.Fatal(err)
			}
		}, is: firmware.ErrFormat, say: "it is an artifact"},
		"output is the base": {spoil: func(b *bench) {
			if err := os.Link(b.path("base"), b.path("image")); err != nil {
				b.Fatal(err)
			}
		}, say: "also the output"},
		"output is the patch": {spoil: func(b *bench) {
			if err := os.Symlink("patch", b.path("image")); err != nil {
				b.Fatal(err)
			}
		}, say: "also the output"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, dir: t.TempDir(), base: good.base, image: good.image, head: good.head}
			b.put("base", good.get("base"))
			b.put("patch", good.get("patch"))
			c.spoil(b)
			before := b.files()
			err := b.apply(ApplyOptions{CheckBase: c.check})
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got error %v, want %v and the words %q", err, c.is, c.say)
			}
			if b.files() != before {
				t.Error("something was left behind")
			}
		})
	}
	// What the base's changed bit does not touch comes out right without the check.
	flip("base", 6*benchFrame+5)(good)
	if err := good.apply(ApplyOptions{}); err != nil || !bytes.Equal(good.get("image"), good.image) {
		t.Errorf("a base that is wrong where nothing reads it: %v", err)
	}
}

func (b *bench) remove(name string) {
	b.Helper()
	if err := os.Remove(b.path(name)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) mkdir(name string) {
	b.Helper()
	if err := os.Mkdir(b.path(name), 0o700); err != nil {
		b.Fatal(err)
	}
}

func TestApplyIsInterrupted(t *testing.T) {
	b := newBench(t)
	for _, check := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		if check {
			cancel()
		}
		err := ApplyFile(ctx, b.path("base"), b.path("patch"), b.path("image"),
			ApplyOptions{CheckBase: check, Workers: 1, Progress: func(_, _ int64) { cancel() }})
		if !errors.Is(err, context.Canceled) || b.files() != 2 {
			t.Errorf("got error %v and %d files", err, b.files())
		}
		cancel()
	}
}

// A disk that is full ends the work with what was there before.
func TestApplyToAFullDisk(t *testing.T) {
	b := newBench(t)
	full := t.TempDir()
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("this test mounts a small file system, for which it must be root: %v", err)
	}
	defer func() { _ = unix.Unmount(full, 0) }()
	err := ApplyFile(t.Context(), b.path("base"), b.path("patch"), filepath.Join(full, "image"), ApplyOptions{})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got error %v, want that of a full disk", err)
	}
	if left, err := os.ReadDir(full); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A slot is a block device, and larger than the image in front of it.
func TestApplyFromADevice(t *testing.T) {
	b := newBench(t)
	b.put("slot", append(bytes.Clone(b.base), make([]byte, 1<<20)...))
	device := loopDevice(t, b.path("slot"))
	if err := ApplyFile(t.Context(), device, b.path("patch"), b.path("image"), ApplyOptions{CheckBase: true}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.get("image"), b.image) {
		t.Error("another image came out")
	}
}

func loopDevice(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", "-r", file).Output()
	if err != nil {
		t.Skipf("this test needs losetup (package mount), a free loop device, and root: %v", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", device).Run(); err != nil {
			t.Errorf("losetup -d %s: %v", device, err)
		}
	})
	return device
}
