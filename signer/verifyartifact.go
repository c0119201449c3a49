package signer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fairlead/fairlead/firmware"
)

// artifact decodes the whole file, and finds the release that pins it.
func (v *verifier) artifact(ctx context.Context) error {
	got, err := readArtifact(ctx, v.VerifyOptions.Path, io.Discard, v.Progress)
	if err != nil {
		return err
	}
	v.prove("every frame is what the index says; the image has %s, SHA-256 %s", bytesWords(got.image.Length), got.image.SHA256)
	if v.base == nil {
		v.cannot("who made it: name a repository with --repo")
		return nil
	}
	return v.pinned("artifact", func(m *firmware.Manifest) bool { return m.Artifact.Blob == got.file && m.Image == got.image })
}

// pinned finds the release of the repository that has a file.
func (v *verifier) pinned(what string, has func(*firmware.Manifest) bool) error {
	path, m, err := v.base.findManifest(has)
	if err != nil {
		return err
	}
	if m == nil {
		return refuse("no release of the repository has this %s", what)
	}
	v.prove("it is the %s of %s", what, path)
	return nil
}

type artifactSums struct {
	file, image firmware.Blob
}

// readArtifact reads an artifact as a device does, frame by frame, and writes its image to w.
func readArtifact(ctx context.Context, path string, w io.Writer, progress func(done, total int64)) (artifactSums, error) {
	head, err := openArtifact(path)
	if err != nil {
		return artifactSums{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return artifactSums{}, err
	}
	defer f.Close()
	d, err := firmware.NewDecoder(head.FrameSize())
	if err != nil {
		return artifactSums{}, err
	}
	defer d.Close()
	file, image := sha256.New(), sha256.New()
	if err := unpack(ctx, head, io.TeeReader(f, file), io.MultiWriter(image, w), d.Decode, progress); err != nil {
		return artifactSums{}, refuseCorrupt(path, err)
	}
	return artifactSums{
		file:  firmware.Blob{Length: head.ArtifactLength(), SHA256: firmware.Digest(file.Sum(nil))},
		image: firmware.Blob{Length: head.ImageLength(), SHA256: firmware.Digest(image.Sum(nil))},
	}, nil
}

func refuseCorrupt(path string, err error) error {
	if errors.Is(err, firmware.ErrCorrupt) {
		return refuse("%s: %w", path, err)
	}
	return fmt.Errorf("reading %s: %w", path, err)
}

// unpack writes to image what the artifact or patch in r, read from its start, unpacks to.
func unpack(ctx context.Context, head *firmware.Head, r io.Reader, image io.Writer,
	decode func(dst []byte, f firmware.Frame, stored []byte) ([]byte, error), progress func(done, total int64)) error {
	if _, err := io.CopyN(io.Discard, r, head.HeadLength()); err != nil {
		return err
	}
	stored, out := make([]byte, head.FrameSize()), []byte(nil)
	for i := range head.Len() {
		frame := head.Frame(i)
		if _, err := io.ReadFull(r, stored[:frame.Stored]); err != nil {
			return err
		}
		var err error
		if out, err = decode(out, frame, stored[:frame.Stored]); err != nil {
			return err
		}
		if _, err := image.Write(out); err != nil {
			return err
		}
		if progress != nil {
			progress(frame.At+frame.Length, head.ImageLength())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
