package signer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// patch verifies a patch: what is stored by its index; what it makes, where the base is at hand; the release that pins it.
func (v *verifier) patch(ctx context.Context) error {
	path := v.VerifyOptions.Path
	head, err := openPatch(path)
	if err != nil {
		return err
	}
	base, name, err := v.findImage(ctx, head.From())
	if err != nil {
		return err
	}
	if base != nil {
		defer base.Close()
	}
	got, err := readPatch(ctx, path, base, v.Progress)
	if err != nil {
		return err
	}
	v.prove("every stored frame is what the index says")
	if base != nil {
		v.prove("of %s it makes an image of %s, SHA-256 %s", name, bytesWords(got.image.Length), got.image.SHA256)
	} else if from := head.From(); len(v.From) > 0 {
		return refuse("%s is made for the image of %s with SHA-256 %s, which was not given", path, bytesWords(from.Length), from.SHA256)
	} else {
		v.cannot("what it makes: that takes its base, the image of %s with SHA-256 %s (--from, or a repository that has its artifact)",
			bytesWords(from.Length), from.SHA256)
	}
	if v.base == nil {
		v.cannot("who made it: name a repository with --repo")
		return nil
	}
	return v.pinned("patch", func(m *firmware.Manifest) bool {
		for _, p := range m.Patches {
			if p.Blob == got.file && p.From == head.From() && (base == nil || m.Image == got.image) {
				return true
			}
		}
		return false
	})
}

// patches decodes the patches of a bundle's release of which the base is at hand.
func (v *verifier) patches(ctx context.Context, path string, m *firmware.Manifest) error {
	for _, p := range m.Patches {
		name := filepath.Join(v.VerifyOptions.Path, bundle.BlobName(p.SHA256))
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue // the repository has it, or the bundle travels without blobs
		}
		if err := v.patchOf(ctx, name, path, m, p); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) patchOf(ctx context.Context, name, path string, m *firmware.Manifest, p firmware.Patch) error {
	base, from, err := v.findImage(ctx, p.From)
	if err != nil {
		return err
	}
	if base == nil {
		v.cannot("what the patch of %s from image %s makes: name the repository, or the image with --from", path, p.From.SHA256)
		return nil
	}
	defer base.Close()
	got, err := readPatch(ctx, name, base, v.Progress)
	if err != nil {
		return err
	}
	if got.file != p.Blob || got.image != m.Image {
		return refuse("the patch of %s from %s does not make the image that its manifest names", path, from)
	}
	v.prove("the patch of %s from %s makes the same image", path, from)
	return nil
}

// findImage opens an image that was given, or unpacks that of a release, and says in words which it is. nil: there is none.
func (v *verifier) findImage(ctx context.Context, image firmware.Blob) (*os.File, string, error) {
	for _, path := range v.From {
		if _, known := v.images[path]; !known {
			got, err := sumFile(ctx, path, v.Progress)
			if err != nil {
				return nil, "", err
			}
			v.images[path] = got
		}
		if v.images[path] == image {
			f, err := os.Open(path)
			return f, path, err
		}
	}
	if v.base == nil {
		return nil, "", nil
	}
	path, m, err := v.base.findManifest(func(m *firmware.Manifest) bool {
		_, err := os.Stat(v.base.blob(m.Artifact.SHA256))
		return m.Image == image && err == nil
	})
	if m == nil {
		return nil, "", err
	}
	f, err := unpackBlob(ctx, v.base.blob(m.Artifact.SHA256), m.Artifact, image, os.TempDir(), v.Progress)
	return f, path, err
}

// readPatch reads a patch as a device does, frame by frame, and throws the image away. Without a base, nil, frames that
// need one are not decoded, and there is no image.
func readPatch(ctx context.Context, path string, base *os.File, progress func(done, total int64)) (artifactSums, error) {
	head, err := openPatch(path)
	if err != nil {
		return artifactSums{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return artifactSums{}, err
	}
	defer f.Close()
	d, err := delta.NewDecoder(head.FrameSize())
	if err != nil {
		return artifactSums{}, err
	}
	defer d.Close()
	decode := func(dst []byte, frame firmware.Frame, stored []byte) ([]byte, error) {
		if base == nil {
			return dst[:0], storedFault(frame, stored)
		}
		return d.Decode(dst, frame, stored, base, head.From().Length)
	}
	file, image := sha256.New(), sha256.New()
	err = unpack(ctx, head, io.TeeReader(f, file), image, decode, progress)
	if errors.Is(err, delta.ErrBase) {
		return artifactSums{}, refuse("%s: %w", path, err)
	}
	if err != nil {
		return artifactSums{}, refuseCorrupt(path, err)
	}
	sums := artifactSums{file: firmware.Blob{Length: head.ArtifactLength(), SHA256: firmware.Digest(file.Sum(nil))}}
	if base != nil {
		sums.image = firmware.Blob{Length: head.ImageLength(), SHA256: firmware.Digest(image.Sum(nil))}
	}
	return sums, nil
}

// storedFault is all that can be said of a frame without the base.
func storedFault(f firmware.Frame, stored []byte) error {
	if f.Kind != firmware.FrameZero && firmware.Sum(stored) != f.StoredSHA256 {
		return fmt.Errorf("frame %d: its stored bytes are not those of the index: %w", f.Index, firmware.ErrCorrupt)
	}
	return nil
}
