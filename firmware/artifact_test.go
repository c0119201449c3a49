package firmware

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// testImage is n bytes like those of real images: text, zeros and noise.
func testImage(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+1<<16)
	for len(b) < n {
		piece := make([]byte, r.IntN(1<<16))
		switch r.IntN(3) {
		case 0:
			for i := range piece {
				piece[i] = byte(r.Uint32())
			}
		case 1:
			for i := range piece {
				piece[i] = "the quick brown fox "[r.IntN(4)]
			}
		}
		b = append(b, piece...)
	}
	return b[:n:n]
}

func TestFilesRoundTrip(t *testing.T) {
	const frame = MinFrameSize
	for _, n := range []int{0, 1, frame - 1, frame, frame + 1, 20*frame + 17} {
		dir := t.TempDir()
		image := filepath.Join(dir, "image")
		want := testImage(n, 1)
		if err := os.WriteFile(image, want, 0o644); err != nil {
			t.Fatal(err)
		}
		e, err := EncodeFile(context.Background(), image, filepath.Join(dir, "artifact"), EncodeOptions{FrameSize: frame})
		if err != nil {
			t.Fatal(err)
		}
		if e.Image != (Blob{int64(n), Sum(want)}) {
			t.Errorf("%d bytes: image %v", n, e.Image)
		}
		if err := DecodeFile(context.Background(), filepath.Join(dir, "artifact"), filepath.Join(dir, "out"), nil); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: differ, %v", n, err)
		}
	}
}
