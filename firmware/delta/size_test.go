package delta

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// In an image that is compressed already each byte that is not found in the base costs eight bits.
func TestSmallPiecesOfNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	base := noise32(r, 400_000)
	var elsewhere []byte // each 24 bytes have 11 of the base
	for range 4_000 {
		at := r.IntN(len(base) - 11)
		elsewhere = slices.Concat(elsewhere, noise32(r, 13), base[at:at+11])
	}
	inPlace := bytes.Clone(base) // most is new, and what stays lies where it was
	for at := 0; at+1000 < len(base); at += 1000 {
		copy(inPlace[at:at+700], noise32(r, 700))
	}
	for name, c := range map[string]struct {
		image []byte
		most  int64
	}{
		"elsewhere": {elsewhere, int64(len(elsewhere)) * 97 / 100},
		"in place":  {inPlace, int64(len(inPlace)) * 71 / 100},
	} {
		t.Run(name, func(t *testing.T) {
			patch, made := create(t, base, c.image, Options{})
			if got, err := apply(t, patch, base); err != nil || !bytes.Equal(got, c.image) {
				t.Fatalf("the image became another: %v", err)
			}
			if made.Patch.Length > c.most {
				t.Errorf("the patch has %d bytes of the image's %d, want %d at the most", made.Patch.Length, len(c.image), c.most)
			}
		})
	}
}
