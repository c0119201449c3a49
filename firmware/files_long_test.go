//go:build long

package firmware

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"testing"
)

func TestLargeImages(t *testing.T) {
	for _, size := range []int64{1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1, 5 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { checkLargeImage(t, size) })
	}
}

// checkLargeImage takes a sparse image to an artifact and back. The image is
// read once more, hole and all, for an independent SHA-256.
func checkLargeImage(t *testing.T, size int64) {
	t.Parallel()
	image := sparseImage(t, size, 1<<30, 1<<31, 1<<32)
	e, err := EncodeFile(context.Background(), image, image+".fla", EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Image.Length != size || e.Artifact.Length > 100_000 {
		t.Errorf("image of %d bytes is said to be %v, in %d bytes", size, e.Image, e.Artifact.Length)
	}
	if err := DecodeFile(context.Background(), image+".fla", image+".out", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(image + ".out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil || n != size || Digest(sum.Sum(nil)) != e.Image.SHA256 {
		t.Errorf("%d bytes with another SHA-256 came back, want %d: %v", n, size, err)
	}
}
