package delta

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/firmware"
)

// edited returns the bytes with some taken out, put in, moved and changed, as a new release changes an image.
func edited(r *rand.Rand, b []byte, edits int) []byte {
	out := bytes.Clone(b)
	for range edits {
		at := r.IntN(len(out))
		n := min(1+r.IntN(5000), len(out)-at)
		switch r.IntN(6) {
		case 0:
			out = append(out[:at:at], out[at+n:]...)
		case 1:
			out = append(append(out[:at:at], noise32(r, n)...), out[at:]...)
		case 2:
			from := r.IntN(len(b))
			copy(out[at:at+n], b[from:])
		case 3:
			for i := at; i+4 <= at+n; i += 4 + r.IntN(60) {
				out[i] += byte(r.IntN(3))
				out[i+1] += 7
			}
		case 4:
			clear(out[at : at+n])
		case 5:
			copy(out[at:at+n], bytes.Repeat([]byte("abcabdabe"), n/9+1))
		}
		if len(out) == 0 {
			out = []byte{1}
		}
	}
	return out
}

func noise32(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// apply decodes a whole patch as a device does.
func apply(t testing.TB, patch, base []byte) ([]byte, error) {
	t.Helper()
	head, err := firmware.ReadPatchHead(bytes.NewReader(patch))
	if err != nil {
		return nil, err
	}
	d, err := NewDecoder(head.FrameSize())
	if err != nil {
		return nil, err
	}
	defer d.Close()
	image := []byte{}
	for i := range head.Len() {
		f := head.Frame(i)
		b, err := d.Decode(nil, f, patch[f.Offset:f.Offset+f.Stored], bytes.NewReader(base), int64(len(base)))
		if err != nil {
			return nil, err
		}
		image = append(image, b...)
	}
	return image, nil
}

func create(t testing.TB, base, image []byte, o Options) ([]byte, Created) {
	t.Helper()
	dir := t.TempDir()
	names := [3]string{filepath.Join(dir, "base"), filepath.Join(dir, "image"), filepath.Join(dir, "patch")}
	for i, b := range [][]byte{base, image} {
		if err := os.WriteFile(names[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := CreateFile(t.Context(), names[0], names[1], names[2], o)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := os.ReadFile(names[2])
	if err != nil {
		t.Fatal(err)
	}
	return patch, c
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := noise32(r, 1+r.IntN(400_000))
		if seed%3 == 0 {
			base = edited(r, bytes.Repeat([]byte("the same words over and over. "), 8000), 40)
		}
		image := edited(r, base, r.IntN(60))
		patch, c := create(t, base, image, Options{FrameSize: 1 << 16 << (seed % 7)})
		got, err := apply(t, patch, base)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(got, image) {
			t.Fatalf("seed %d: differs", seed)
		}
		if c.Image.SHA256 != firmware.Sum(image) || c.Patch.From.SHA256 != firmware.Sum(base) || c.Patch.SHA256 != firmware.Sum(patch) {
			t.Errorf("seed %d: digests are wrong: %+v", seed, c)
		}
	}
}

// Whatever becomes of an image, in frames of any size, the patch makes it.
func TestRandomEdits(t *testing.T) {
	if err := flag.Set("rapid.checks", strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	base := edited(rand.New(rand.NewPCG(8, 8)), bytes.Repeat([]byte("base unit, room and floor; "), 4_000), 30)
	rapid.Check(t, func(r *rapid.T) {
		image := bytes.Clone(base)
		for range rapid.IntRange(0, 12).Draw(r, "edits") {
			at := rapid.IntRange(0, len(image)).Draw(r, "at")
			cut := rapid.IntRange(0, min(20_000, len(image)-at)).Draw(r, "cut")
			var put []byte
			switch rapid.IntRange(0, 3).Draw(r, "kind") {
			case 0:
				put = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "new")
			case 1:
				put = make([]byte, rapid.IntRange(0, 40_000).Draw(r, "zeros"))
			case 2:
				from := rapid.IntRange(0, len(base)).Draw(r, "from")
				put = base[from : from+rapid.IntRange(0, min(40_000, len(base)-from)).Draw(r, "length")]
			case 3:
				put = bytes.Clone(image[at : at+cut])
				every, add := rapid.IntRange(1, 500).Draw(r, "every"), rapid.Byte().Draw(r, "add")
				for i := 0; i < len(put); i += every {
					put[i] += add
				}
			}
			image = slices.Concat(image[:at], put, image[at+cut:])
		}
		patch, _ := create(t, base, image, Options{FrameSize: 1 << rapid.IntRange(16, 22).Draw(r, "frame"), Workers: 1})
		if got, err := apply(t, patch, base); err != nil || !bytes.Equal(got, image) {
			r.Fatalf("%d bytes became others: %v", len(image), err)
		}
	})
}
