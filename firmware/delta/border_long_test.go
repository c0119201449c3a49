//go:build long

package delta

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// sparse makes a file that holds parts, by their offsets, and is size bytes long.
func sparse(t *testing.T, path string, size int64, parts map[int64][]byte) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(size)
	}
	for at, b := range parts {
		if err == nil {
			_, err = f.WriteAt(b, at)
		}
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Bytes are taken from either side of 2^31 and 2^32, and put on the other.
func TestBorders(t *testing.T) {
	const half, whole = 1 << 31, 1 << 32
	r := rand.New(rand.NewPCG(31, 32))
	a, b, c := noise32(r, 300_000), noise32(r, 300_000), noise32(r, 300_000)
	changed := edited(r, b, 5)
	for name, v := range map[string]struct {
		size        int64
		base, image map[int64][]byte
	}{
		"2^31": {half + 1<<20, map[int64][]byte{half - 150_001: a, 4096: b}, map[int64][]byte{8192: a, half - 150_000: changed}},
		"2^32": {whole + 1<<20, map[int64][]byte{whole - 150_001: a, half - 7: b, 0: c}, map[int64][]byte{half - 100: a, whole - 150_000: changed, whole + 500_000: c}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			base, image, patch, out := filepath.Join(dir, "base"), filepath.Join(dir, "image"), filepath.Join(dir, "patch"), filepath.Join(dir, "out")
			sparse(t, base, v.size, v.base)
			sparse(t, image, v.size, v.image)
			made, err := CreateFile(t.Context(), base, image, patch, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if made.Patch.Length > 100_000 {
				t.Errorf("the patch has %d bytes: what moved over the border was not found", made.Patch.Length)
			}
			if err := ApplyFile(t.Context(), base, patch, out, ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sum := sha256.New()
			if n, err := io.Copy(sum, f); err != nil || n != v.size || firmware.Digest(sum.Sum(nil)) != made.Image.SHA256 {
				t.Errorf("%d bytes came back, %v", n, err)
			}
			for at, b := range v.image {
				got := make([]byte, len(b))
				if _, err := f.ReadAt(got, at); err != nil || !bytes.Equal(got, b) {
					t.Errorf("at %d are other bytes: %v", at, err)
				}
			}
		})
	}
}
