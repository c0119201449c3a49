package firmware

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// put writes a file into a new folder and returns its path.
func put(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkFolder fails unless the folder of path holds the named files, and no
// others, leftovers included.
func checkFolder(t *testing.T, path string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func TestFilesRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, MinFrameSize - 1, MinFrameSize, MinFrameSize + 1, 5*MinFrameSize + 17} {
		want := testImage(n, 1)
		image := put(t, "image", want)
		artifact := image + ".fla"
		e, err := EncodeFile(context.Background(), image, artifact, EncodeOptions{FrameSize: MinFrameSize})
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(artifact)
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, want, b, e)
		var last int64
		progress := func(done, total int64) { last = done }
		if err := DecodeFile(context.Background(), artifact, image+".out", progress); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(image + ".out")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("image of %d bytes does not come back: %v", n, err)
		}
		if last != int64(n) {
			t.Errorf("progress ends at %d of %d", last, n)
		}
		checkFolder(t, image, "image", "image.fla", "image.out")
	}
}

func TestHolesMakeNoDifference(t *testing.T) {
	want := make([]byte, 40*MinFrameSize)
	copy(want[10*MinFrameSize-5:], noise(10, 1))
	copy(want[30*MinFrameSize+100:], noise(3*MinFrameSize, 2))
	dense, sparse := put(t, "dense", want), put(t, "sparse", nil)
	f, err := os.OpenFile(sparse, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, b := range want {
		if b != 0 {
			if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	o := EncodeOptions{FrameSize: MinFrameSize}
	a, err := EncodeFile(context.Background(), dense, dense+".fla", o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodeFile(context.Background(), sparse, sparse+".fla", o)
	if err != nil || a != b {
		t.Errorf("dense: %+v\nsparse: %+v, %v", a, b, err)
	}
	if a.ZeroFrames != 34 {
		t.Errorf("%d frames of zeros, want 34", a.ZeroFrames)
	}
}

func TestHolesAreFound(t *testing.T) {
	f, err := openImage(sparseImage(t, 1<<30, 1<<29), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{1 << 20, 1 << 28} {
		if got := f.nextData(at); got < 1<<29-1<<20 || got > 1<<29 {
			t.Errorf("data after %d is said to be at %d, is around %d", at, got, 1<<29)
		}
	}
	if err := os.Truncate(f.Name(), 1<<29-1<<20); err != nil {
		t.Fatal(err)
	}
	if got := f.nextData(1 << 20); got != 1<<30 {
		t.Errorf("with no data left it is said to be at %d, want the end", got)
	}
}

func TestDecodeFileLeavesHoles(t *testing.T) {
	image := put(t, "image", nil)
	if err := os.Truncate(image, 1<<30); err != nil {
		t.Fatal(err)
	}
	if _, err := EncodeFile(context.Background(), image, image+".fla", EncodeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := DecodeFile(context.Background(), image+".fla", image+".out", nil); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(image + ".out")
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != 1<<30 || used > 1<<20 {
		t.Errorf("1 GiB of zeros: %d bytes, %d on disk", info.Size(), used)
	}
}

// sparseImage is a file of the given size with a few bytes around each border.
func sparseImage(t *testing.T, size int64, borders ...int64) string {
	t.Helper()
	path := put(t, "image", nil)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, border := range append(borders, 8, size) {
		if border > size {
			continue
		}
		piece := noise(16, uint64(border))
		at := border - 8
		if _, err := f.WriteAt(piece[:min(16, size-at)], at); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestImageAboveTwoGiB(t *testing.T) { checkBorders(t, 1<<31+1) }

func TestImageAboveFourGiB(t *testing.T) { checkBorders(t, 1<<32+1) }

// checkBorders takes a sparse image to an artifact and back, and looks at the
// bytes around the borders. The long tests look at all bytes.
func checkBorders(t *testing.T, size int64) {
	t.Parallel()
	image := sparseImage(t, size, 1<<30, 1<<31)
	e, err := EncodeFile(context.Background(), image, image+".fla", EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := DecodeFile(context.Background(), image+".fla", image+".out", nil); err != nil {
		t.Fatal(err)
	}
	if e.Image.Length != size || e.Frames != int(size/DefaultFrameSize)+1 || e.Frames-e.ZeroFrames > 7 {
		t.Errorf("image of %d bytes: %+v", size, e)
	}
	for _, border := range []int64{0, 1 << 30, 1 << 31, size} {
		at := max(0, border-1<<20)
		want, got := piece(t, image, at, size), piece(t, image+".out", at, size)
		if !bytes.Equal(got, want) || bytes.Count(got, []byte{0}) == len(got) {
			t.Errorf("image of %d bytes: bytes around %d do not come back", size, border)
		}
	}
}

// piece reads up to 2 MiB of a file that must be of the given size.
func piece(t *testing.T, path string, at, size int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, at, 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		t.Fatalf("%s has %d bytes, want %d", path, info.Size(), size)
	}
	return b
}

func TestCancelLeavesNothing(t *testing.T) {
	image := put(t, "image", testImage(10*MinFrameSize, 1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := func(done, total int64) { cancel() }
	_, err := EncodeFile(ctx, image, image+".fla", EncodeOptions{FrameSize: MinFrameSize, Progress: stop})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("EncodeFile: %v, want context.Canceled", err)
	}
	checkFolder(t, image, "image")
	if _, err := EncodeFile(context.Background(), image, image+".fla", EncodeOptions{FrameSize: MinFrameSize}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	if err := DecodeFile(ctx, image+".fla", image+".out", stop); !errors.Is(err, context.Canceled) {
		t.Errorf("DecodeFile: %v, want context.Canceled", err)
	}
	checkFolder(t, image, "image", "image.fla")
}

func TestFailureKeepsWhatWasThere(t *testing.T) {
	image := put(t, "image", testImage(5*MinFrameSize, 1))
	if err := os.WriteFile(image+".fla", []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	grow := func(done, total int64) {
		if err := os.Truncate(image, total+1); err != nil {
			t.Error(err)
		}
		if err := os.Chtimes(image, time.Time{}, before.ModTime()); err != nil {
			t.Error(err)
		}
	}
	touch := func(done, total int64) {
		if err := os.Chtimes(image, time.Time{}, time.Unix(1e9, 0)); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func(int64, int64){"grown": grow, "written": touch} {
		_, err := EncodeFile(context.Background(), image, image+".fla", EncodeOptions{FrameSize: MinFrameSize, Progress: change})
		if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("image is %s meanwhile: %v", name, err)
		}
	}
	if b, err := os.ReadFile(image + ".fla"); string(b) != "before" {
		t.Errorf("artifact is now %q, %v", b, err)
	}
	checkFolder(t, image, "image", "image.fla")
}

func TestEncodeFileRefuses(t *testing.T) {
	image := put(t, "image", []byte("image"))
	dir := filepath.Dir(image)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(image, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	// A reader and writer of its own keeps the open of a pipe from waiting.
	pipe, err := os.OpenFile(filepath.Join(dir, "pipe"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	tests := []struct{ image, artifact, want string }{
		{"none", "out", "no such file"},
		{".", "out", "neither a file nor a block device"},
		{"pipe", "out", "neither a file nor a block device"},
		{"image", "image", "also the output"},
		{"image", "link", "also the output"},
		{"image", "none/out", "no such file"},
		{"image", "pipe", "not a regular file"},
		{"image", ".", "not a regular file"},
	}
	for _, tt := range tests {
		_, err := EncodeFile(context.Background(), filepath.Join(dir, tt.image), filepath.Join(dir, tt.artifact), EncodeOptions{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: got %v, want an error with %q", tt.image, tt.artifact, err, tt.want)
		}
	}
	checkFolder(t, image, "image", "link", "pipe")
}

func TestDecodeFileRefuses(t *testing.T) {
	good, e := mustEncode(t, testImage(5*MinFrameSize, 1), EncodeOptions{FrameSize: MinFrameSize})
	altered := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x10
		return b
	}
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"other file", []byte("\x7fELF and so on, for more than the header's bytes"), ErrFormat},
		{"altered digest", altered(int(e.Artifact.Head.Length) - 1), ErrCorrupt},
		{"altered frame", altered(int(e.Artifact.Head.Length)), ErrCorrupt},
		{"altered last byte", altered(len(good) - 1), ErrCorrupt},
		{"cut off in the head", good[:40], ErrCorrupt},
		{"cut off in a frame", good[:len(good)-1], ErrCorrupt},
		{"trailing byte", append(bytes.Clone(good), 0), ErrCorrupt},
	}
	for _, tt := range tests {
		path := put(t, "artifact", tt.b)
		if err := DecodeFile(context.Background(), path, path+".out", nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		checkFolder(t, path, "artifact")
	}
	path := put(t, "artifact", good)
	if err := DecodeFile(context.Background(), path, path, nil); err == nil {
		t.Error("artifact is replaced by its own image")
	}
	if b, err := os.ReadFile(path); !bytes.Equal(b, good) {
		t.Errorf("artifact is lost: %v", err)
	}
}
