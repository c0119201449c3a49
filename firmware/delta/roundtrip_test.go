package delta

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

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
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := noise32(r, 1+r.IntN(400_000))
		if seed%3 == 0 {
			base = edited(r, bytes.Repeat([]byte("the same words over and over. "), 8000), 40)
		}
		image := edited(r, base, r.IntN(60))
		patch, c := create(t, base, image, Options{FrameSize: 1 << 16 << (seed % 4)})
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
