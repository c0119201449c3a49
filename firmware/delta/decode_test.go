package delta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// program looks like an executable: calls to functions at distances from themselves, tables of addresses, and words.
func program(r *rand.Rand, size, shiftEvery int) []byte {
	b := make([]byte, 0, size+64)
	moved := 0
	for len(b) < size {
		if shiftEvery > 0 && len(b)/shiftEvery > moved {
			moved++
			b = append(b, "new code"...)
		}
		switch r.IntN(3) {
		case 0:
			target := uint32(r.IntN(64) * 1000)
			target += target / uint32(max(shiftEvery, 1<<30)) * 8
			if shiftEvery > 0 {
				target += target / uint32(shiftEvery) * 8
			}
			b = append(b, 0xe8)
			b = binary.LittleEndian.AppendUint32(b, target-uint32(len(b)))
		case 1:
			b = binary.LittleEndian.AppendUint64(b, uint64(r.IntN(16))<<32|0x400000)
		default:
			b = append(b, "mov eax, ebx; "[r.IntN(10):]...)
		}
	}
	return b[:size]
}

// pair is a base and an image of which every kind of operation and of frame occurs in the patch.
func pair(seed uint64) (base, image []byte) {
	base = program(rand.New(rand.NewPCG(seed, 1)), 300_000, 0)
	image = program(rand.New(rand.NewPCG(seed, 1)), 300_000, 50_000)
	r := rand.New(rand.NewPCG(seed, 2))
	image = append(image, make([]byte, 200_000)...)
	image = append(image, noise32(r, 150_000)...)
	image = append(image, bytes.Repeat([]byte("what nobody wrote before, twice and more. "), 3000)...)
	return base, append(image, base[100_000:200_000]...)
}

// rich is a pair in which every rule of how fields and fresh bytes are foreseen decides something, so that its patch holds
// the format to the letter: programs and tables that moved, edits here and there, and prose of few words.
func rich() (base, image []byte) {
	r := rand.New(rand.NewPCG(7, 7))
	base, image = pair(7)
	image = append(append(append([]byte{}, image[200_000:430_000]...), image[500_000:503_000]...), image[650_000:]...)
	words := make([][]byte, 200)
	for i := range words {
		words[i] = fmt.Appendf(nil, "%x", r.Uint64())[:2+r.IntN(9)]
	}
	for range 6000 {
		image = append(append(image, words[min(r.IntN(200), r.IntN(200))]...), " \n"[r.IntN(10)/9])
	}
	for i := range 12_000 { // addresses in one of two sections that moved, and counters
		was, by := uint32(r.IntN(3000))*16, uint32(0x1040)
		if was > 30_000 {
			by = 0x2010
		}
		switch {
		case i%7 == 3:
			by = 0
		case r.IntN(40) == 0:
			by = uint32(r.IntN(70))
		}
		base = binary.LittleEndian.AppendUint32(append(base, 0xE8, byte(i%5)), was)
		image = binary.LittleEndian.AppendUint32(append(image, 0xE8, byte(i%5)), was+by)
	}
	for i := range 90_000 { // edits, denser towards the end
		b := byte(r.IntN(12))
		base = append(base, b)
		if r.IntN(90_000) < i/4 {
			b += byte(r.IntN(3))
		}
		image = append(image, b)
	}
	return base, image
}

const golden = "testdata/golden.patch"

// A patch that an earlier release made is read for ever.
func TestGolden(t *testing.T) {
	base, image := rich()
	if os.Getenv("FAIRLEAD_GOLDEN") != "" {
		patch, _ := create(t, base, image, Options{FrameSize: 1 << 17})
		if err := os.WriteFile(golden, patch, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	patch, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := apply(t, patch, base)
	if err != nil || !bytes.Equal(got, image) {
		t.Errorf("the image differs, or %v", err)
	}
}

func TestEveryKindOccurs(t *testing.T) {
	base, image := pair(1)
	patch, c := create(t, base, image, Options{FrameSize: 1 << 16})
	for kind, n := range c.Kinds {
		if n == 0 && kind != int(firmware.FrameZstd) {
			t.Errorf("no frame of kind %d", kind)
		}
	}
	got, err := apply(t, patch, base)
	if err != nil || !bytes.Equal(got, image) {
		t.Errorf("the image differs, or %v", err)
	}
}

func TestWorkersMakeNoDifference(t *testing.T) {
	base, image := pair(2)
	want, _ := create(t, base, image, Options{FrameSize: 1 << 16, Workers: 1})
	got, _ := create(t, base, image, Options{FrameSize: 1 << 16, Workers: 5})
	if !bytes.Equal(got, want) {
		t.Error("five workers make another patch than one")
	}
}

// A frame that was decoded must not show in the next: resuming decodes some only.
func TestFramesAreIndependent(t *testing.T) {
	base, image := pair(3)
	patch, _ := create(t, base, image, Options{FrameSize: 1 << 16})
	head, err := firmware.ReadPatchHead(bytes.NewReader(patch))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder(head.FrameSize())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := head.Len() - 1; i >= 0; i-- {
		f := head.Frame(i)
		b, err := d.Decode(nil, f, patch[f.Offset:f.Offset+f.Stored], bytes.NewReader(base), int64(len(base)))
		if err != nil || !bytes.Equal(b, image[f.At:f.At+f.Length]) {
			t.Errorf("frame %d: %v", i, err)
		}
	}
}

// first returns the first frame of a patch that is made of the base, and its stored bytes.
func first(t *testing.T, patch []byte) (firmware.Frame, []byte) {
	t.Helper()
	head, err := firmware.ReadPatchHead(bytes.NewReader(patch))
	if err != nil {
		t.Fatal(err)
	}
	for i := range head.Len() {
		if f := head.Frame(i); f.Kind == firmware.FrameDelta {
			return f, patch[f.Offset : f.Offset+f.Stored]
		}
	}
	t.Fatal("no such frame")
	return firmware.Frame{}, nil
}

// broken fails to read, as a medium does.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad sector") }

// short ends early, though its length was said.
type short struct{ io.ReaderAt }

func (s short) ReadAt(p []byte, off int64) (int, error) {
	n, _ := s.ReaderAt.ReadAt(p[:len(p)/2], off)
	return n, io.EOF
}

func TestDecodeRefuses(t *testing.T) {
	base, image := pair(4)
	patch, _ := create(t, base, image, Options{FrameSize: 1 << 16})
	f, stored := first(t, patch)
	otherBase := bytes.Clone(base)
	for i := range otherBase {
		otherBase[i] ^= 1
	}
	flipped := bytes.Clone(stored)
	flipped[len(flipped)/2] ^= 4
	resigned := f
	resigned.StoredSHA256 = firmware.Sum(flipped)
	cut := f
	cut.Stored = 3
	cut.StoredSHA256 = firmware.Sum(stored[:3])
	tests := []struct {
		name   string
		f      firmware.Frame
		stored []byte
		base   io.ReaderAt
		length int64
		want   error
	}{
		{"another base", f, stored, bytes.NewReader(otherBase), int64(len(base)), ErrBase},
		{"a base that cannot be read", f, stored, broken{}, int64(len(base)), ErrBase},
		{"a base that ends early", f, stored, short{bytes.NewReader(base)}, int64(len(base)), ErrBase},
		{"a base of another length", f, stored, bytes.NewReader(base[:10]), 10, ErrBase},
		{"a flipped bit", f, flipped, bytes.NewReader(base), int64(len(base)), firmware.ErrCorrupt},
		{"a flipped bit that the index pins", resigned, flipped, bytes.NewReader(base), int64(len(base)), ErrBase},
		{"cut off", f, stored[:len(stored)-1], bytes.NewReader(base), int64(len(base)), firmware.ErrCorrupt},
		{"cut off as the index pins", cut, stored[:3], bytes.NewReader(base), int64(len(base)), ErrBase},
	}
	shared := &Shared{} // has the frame from the second round on
	for i, tt := range append(tests, tests...) {
		d, err := NewDecoder(1 << 16)
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(tests) {
			d.Shared = shared
		}
		_, err = d.Decode(nil, tt.f, tt.stored, tt.base, tt.length)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		// The decoder goes on after an error.
		if b, err := d.Decode(nil, f, stored, bytes.NewReader(base), int64(len(base))); err != nil || firmware.Sum(b) != f.ImageSHA256 {
			t.Errorf("after %s: %v", tt.name, err)
		}
		d.Close()
	}
}

// TestSharedFrames: what another has made of the same bytes is not decoded again, and what it has made of others is.
func TestSharedFrames(t *testing.T) {
	base, image := pair(4)
	patch, _ := create(t, base, image, Options{FrameSize: 1 << 16})
	f, stored := first(t, patch)
	shared := &Shared{}
	decode := func(base []byte) (decoded bool, err error) {
		d, err := NewDecoder(1 << 16)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.Shared = shared
		b, err := d.Decode(nil, f, stored, bytes.NewReader(base), int64(len(base)))
		if err == nil && !bytes.Equal(b, image[f.At:f.At+f.Length]) {
			t.Error("these are not the bytes of the image")
		}
		return d.codec != nil, err
	}
	if decoded, err := decode(base); err != nil || !decoded {
		t.Fatal(decoded, err)
	}
	if decoded, err := decode(base); err != nil || decoded {
		t.Errorf("decoded again: %v, %v", decoded, err)
	}
	wrong := bytes.Clone(base)
	wrong[f.At+f.Length/2] ^= 1
	if decoded, err := decode(wrong); !errors.Is(err, ErrBase) || !decoded {
		t.Errorf("with a bit turned over in the base: decoded %v, %v", decoded, err)
	}
	if decoded, err := decode(base); err != nil || decoded {
		t.Errorf("decoded again after another base: %v, %v", decoded, err)
	}
	testLent(t, f, stored, base)
	for i := range int64(3) { // it is bounded
		shared.keep(sharedKey{at: i}, nil, []basePiece{{bytes: make([]byte, maxShared/2)}})
	}
	if decoded, err := decode(base); err != nil || !decoded || shared.size > maxShared {
		t.Errorf("nothing was forgotten: %d bytes, decoded %v, %v", shared.size, decoded, err)
	}
}

// lent is a base in memory, which lends it in pieces of 1000 bytes.
type lent struct{ *bytes.Reader }

func (l lent) Lend(off int64, n int) []byte {
	b := make([]byte, min(int64(n), 1000-off%1000))
	got, _ := l.ReadAt(b, off)
	return b[:got]
}

// testLent: what is lent is compared like what is read, and not counted.
func testLent(t *testing.T, f firmware.Frame, stored, base []byte) {
	t.Helper()
	d, err := NewDecoder(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Shared = &Shared{}
	wrong := bytes.Clone(base)
	wrong[f.At+f.Length/2] ^= 1
	for i, b := range [][]byte{base, wrong, base} {
		_, err := d.Decode(nil, f, stored, lent{bytes.NewReader(b)}, int64(len(b)))
		if want := i == 1; errors.Is(err, ErrBase) != want || err != nil != want {
			t.Errorf("base %d, which lends: %v", i, err)
		}
		if (d.codec != nil) != (i < 2) {
			t.Errorf("base %d, which lends: decoded %v", i, d.codec != nil)
		}
		d.codec = nil
	}
	if d.Shared.size != f.Length {
		t.Errorf("%d bytes are kept of a frame of %d", d.Shared.size, f.Length)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"base", "image"} {
		if err := os.WriteFile(at(name), []byte("some bytes"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name               string
		base, image, patch string
		o                  Options
	}{
		{"no base", "none", "image", "patch", Options{}},
		{"no image", "base", "none", "patch", Options{}},
		{"an empty base", "empty", "image", "patch", Options{}},
		{"a folder", ".", "image", "patch", Options{}},
		{"the base for the output", "base", "image", "base", Options{}},
		{"the image for the output", "base", "image", "image", Options{}},
		{"no folder for the output", "base", "image", "none/patch", Options{}},
		{"a frame size of three", "base", "image", "patch", Options{FrameSize: 3}},
	}
	for _, tt := range tests {
		if _, err := CreateFile(t.Context(), at(tt.base), at(tt.image), at(tt.patch), tt.o); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 3 {
			t.Errorf("%s: the folder has %v, %v", tt.name, entries, err)
		}
	}
	if c, err := CreateFile(t.Context(), at("base"), at("empty"), at("patch"), Options{}); err != nil || c.Image.Length != 0 {
		t.Errorf("an empty image: %+v, %v", c, err)
	}
}

// Whatever the stored bytes are, decoding them ends, within the frame's memory, with an image or an error.
func FuzzDecode(f *testing.F) {
	base, image := pair(5)
	base, image = base[:40_000], image[:40_000]
	x, err := newIndex(f.Context(), base)
	if err != nil {
		f.Fatal(err)
	}
	e, err := newEncoder(x, 1<<16)
	if err != nil {
		f.Fatal(err)
	}
	_, stored := e.encode(image, 0)
	f.Add(stored, uint16(len(image)))
	f.Add(stored[:len(stored)/2], uint16(len(image)))
	f.Add(bytes.Repeat([]byte{0xff}, 100), uint16(500))
	f.Add([]byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, stored []byte, length uint16) {
		d := newCodec()
		frame := make([]byte, length)
		err := d.decode(frame, stored, 1<<20, bytes.NewReader(base), int64(len(base)))
		if err != nil && !errors.Is(err, errStored) {
			t.Fatal(err)
		}
	})
}

// FuzzRoundTrip makes patches of foreign pairs.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a base with some words in it, and more"), []byte("an image with some words in it, and others"))
	f.Add(bytes.Repeat([]byte{0}, 300), bytes.Repeat([]byte{1, 2}, 300))
	base, image := pair(6)
	f.Add(base[:5000], image[:5000])
	f.Fuzz(func(t *testing.T, base, image []byte) {
		if len(base) == 0 || len(image) == 0 || len(image) > 1<<16 {
			return
		}
		x, err := newIndex(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		defer x.close()
		p, d := planner{index: x}, newCodec()
		stored := d.encode(nil, image, 0, base, p.plan(image, 0), make([]byte, len(image)))
		got := make([]byte, len(image))
		if err := d.decode(got, stored, 0, bytes.NewReader(base), int64(len(base))); err != nil || !bytes.Equal(got, image) {
			t.Fatalf("differs, or %v", err)
		}
	})
}
