package signer

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// chunks makes the chunks of the image, unless they are not wanted, or there are none. Its progress is told while report says so.
func (o ReleaseOptions) chunks(ctx context.Context, dir string, report *atomic.Bool) (*chunk.Created, error) {
	if o.NoChunks {
		return nil, nil
	}
	made := filepath.Join(dir, "blobs", "new-chunks")
	options := chunk.Options{}
	if progress := o.progress("cutting the image into chunks"); progress != nil {
		options.Progress = func(done, total int64) {
			if report.Load() {
				progress(done, total)
			}
		}
	}
	c, err := chunk.CreateFile(ctx, o.Image, made, options)
	if err != nil {
		return nil, err
	}
	if c.Image.Length == 0 {
		return nil, os.Remove(made)
	}
	return &c, durable.Rename(made, filepath.Join(dir, bundle.BlobName(c.File.SHA256)))
}

// ChunksInfo is what the index of a file of chunks says.
type ChunksInfo struct {
	Image  int64         `json:"image_length"`
	Length int64         `json:"length"`
	Head   firmware.Blob `json:"head"`
	Size   int           `json:"chunk_size"`
	Chunks int           `json:"chunks"`
	Zero   int           `json:"zero_chunks"`
	Raw    int           `json:"raw_chunks"`
	Ratio  float64       `json:"ratio"` // image length by file length
}

func (in *Inspection) chunks() error {
	f, err := os.Open(in.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	x, err := chunk.Read(f)
	if err != nil {
		return refuseCorrupt(in.Path, err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != x.FileLength() {
		return errors.Join(err, refuse("%s: the index is for a file of %d bytes", in.Path, x.FileLength()))
	}
	head := x.Encode()
	info := ChunksInfo{
		Image: x.ImageLength(), Length: x.FileLength(), Size: x.Size(), Chunks: x.Len(),
		Head:  firmware.Blob{Length: int64(len(head)), SHA256: firmware.Sum(head)},
		Ratio: float64(x.ImageLength()) / float64(max(x.FileLength(), 1)),
	}
	for i := range x.Len() {
		switch c := x.Chunk(i); c.Stored {
		case 0:
			info.Zero++
		case c.Length:
			info.Raw++
		}
	}
	in.Content = info
	in.say("image: %s", bytesWords(info.Image))
	in.say("file: %s, ratio %.2f", bytesWords(info.Length), info.Ratio)
	in.say("head: %s, SHA-256 %s", bytesWords(info.Head.Length), info.Head.SHA256)
	in.say("%d chunks of %s, %d of them raw, %d of zeros", info.Chunks, bytesWords(int64(info.Size)), info.Raw, info.Zero)
	return nil
}

// chunks verifies every chunk, and finds the release that pins the file.
func (v *verifier) chunks(ctx context.Context) error {
	got, err := readChunks(ctx, v.VerifyOptions.Path, v.Progress)
	if err != nil {
		return err
	}
	v.prove("every chunk is what the index says; the image has %s, SHA-256 %s", bytesWords(got.image.Length), got.image.SHA256)
	if v.base == nil {
		v.cannot("who made it: name a repository with --repo")
		return nil
	}
	return v.pinned("file of chunks", func(m *firmware.Manifest) bool {
		return m.Chunks != nil && m.Chunks.Blob == got.file && m.Image == got.image
	})
}

// chunksOf decodes the chunks of a bundle's release.
func (v *verifier) chunksOf(ctx context.Context, path string, m *firmware.Manifest) error {
	if m.Chunks == nil {
		return nil
	}
	got, err := readChunks(ctx, filepath.Join(v.VerifyOptions.Path, bundle.BlobName(m.Chunks.SHA256)), v.Progress)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the repository has it, or the bundle travels without blobs
	}
	if err != nil {
		return err
	}
	if got.file != m.Chunks.Blob || got.image != m.Image {
		return refuse("the chunks of %s do not make the image that its manifest names", path)
	}
	v.prove("the chunks of %s make the same image", path)
	return nil
}

func readChunks(ctx context.Context, path string, progress func(done, total int64)) (artifactSums, error) {
	f, err := os.Open(path)
	if err != nil {
		return artifactSums{}, err
	}
	defer f.Close()
	file, image := sha256.New(), sha256.New()
	r := io.TeeReader(f, file)
	x, err := chunk.Unpack(ctx, image, r, progress)
	if err != nil {
		return artifactSums{}, refuseCorrupt(path, err)
	}
	if n, err := io.CopyN(io.Discard, r, 1); n > 0 || !errors.Is(err, io.EOF) {
		return artifactSums{}, refuse("%s: the index is for a file of %d bytes, which is longer", path, x.FileLength())
	}
	return artifactSums{
		file:  firmware.Blob{Length: x.FileLength(), SHA256: firmware.Digest(file.Sum(nil))},
		image: firmware.Blob{Length: x.ImageLength(), SHA256: firmware.Digest(image.Sum(nil))},
	}, nil
}
