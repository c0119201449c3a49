package site

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Image describes an image that is made up: a file system of which a part is used, and of which a release changes a part.
type Image struct {
	Size    int64   // bytes
	Used    float64 // share that is not zeros
	Changed float64 // share of the used part that differs from one number to the next
	Number  int     // of the release, from 0
	Seed    uint64
}

// piece is what changes or does not, in bytes.
const piece = 4 << 10

// MakeImage writes the image into the site's folder and returns its path. The same description makes the same bytes.
func (s *Site) MakeImage(i Image) (string, error) {
	path := filepath.Join(s.dir, "images", fmt.Sprintf("%d.img", i.Number))
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("making an image: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = i.write(w)
	if err = errors.Join(err, w.Flush(), f.Truncate(i.Size), f.Close()); err != nil {
		return "", fmt.Errorf("making an image: %w", err)
	}
	return path, nil
}

// write writes the used part. Which generation of a piece stands there is how often it has changed so far: a piece changes in
// the releases that its own dice say.
func (i Image) write(w *bufio.Writer) error {
	buf := make([]byte, piece)
	for at := int64(0); at < int64(float64(i.Size)*i.Used); at += piece {
		n := min(piece, i.Size-at)
		dice, generation := rand.New(rand.NewPCG(i.Seed, uint64(at))), uint64(0)
		for release := 1; release <= i.Number; release++ {
			if dice.Float64() < i.Changed {
				generation = uint64(release)
			}
		}
		fill(buf, rand.New(rand.NewPCG(i.Seed^generation<<32, uint64(at)+1)))
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// fill makes bytes that compress to about a half, as binaries do.
func fill(p []byte, r *rand.Rand) {
	for i := 0; i < len(p); i += 8 {
		v := r.Uint64()
		for k := range 8 {
			if p[i+k] = byte(v >> (8 * k)); k%2 == 1 {
				p[i+k] = byte(i >> 8)
			}
		}
	}
}
