package signer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

const (
	// MaxPatches is the most patches of one release.
	MaxPatches = 64
	// DefaultPatches is from how many earlier releases people want patches who do not say.
	DefaultPatches = 3
)

// PatchFrom names an earlier release of the product that the new one gets a patch from.
type PatchFrom struct {
	Version string
	Image   string // its image, a file or block device; "": the repository's artifact is unpacked
}

// oldImage is the image of an earlier release.
type oldImage struct {
	PatchFrom
	named    bool            // asked for by name: what stands in the way is an error
	image    firmware.Blob   // zero while nothing tells it
	artifact firmware.Framed // in the repository
}

// patcher makes the patches of a release, one after the other.
type patcher struct {
	ReleaseOptions
	from     []oldImage // named ones, then the newest first
	warnings []string   // patches that could not be made
	notes    []string   // patches that make no sense
}

// choose finds what patches are to be made from, before the long work begins. entries are the product's releases.
func (p *patcher) choose(ctx context.Context, entries []bundle.Entry) error {
	if most := len(p.PatchFrom) + p.Patches; most > MaxPatches {
		return refuse("%d patches are too many: a release has at most %d", most, MaxPatches)
	}
	for _, from := range p.PatchFrom {
		i := slices.IndexFunc(entries, func(e bundle.Entry) bool { return e.Version == from.Version })
		if i < 0 {
			return refuse("%s has no release %q to make a patch from", p.Product, from.Version)
		}
		old, err := p.namedImage(ctx, from, entries[i])
		if err != nil {
			return fmt.Errorf("patch from %s: %w", from.Version, err)
		}
		p.from = append(p.from, old)
		entries = slices.Delete(slices.Clone(entries), i, i+1)
	}
	left := p.Patches
	for _, e := range slices.Backward(entries) {
		if left == 0 {
			break
		}
		old, err := p.publishedImage(e)
		if err != nil {
			p.warnings = append(p.warnings, fmt.Sprintf("no patch from %s: %v", e.Version, err))
		} else if slices.ContainsFunc(p.from, func(f oldImage) bool { return f.image == old.image }) {
			continue // the same image under another version
		} else {
			p.from = append(p.from, old)
		}
		left--
	}
	return nil
}

// publishedImage is the image of a release whose artifact the repository has.
func (p *patcher) publishedImage(e bundle.Entry) (oldImage, error) {
	old := oldImage{PatchFrom: PatchFrom{Version: e.Version}}
	m, err := p.Base.Manifest(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return old, refuse("its manifest is not in %s", p.Base.dir)
	}
	if err != nil {
		return old, refusal{err}
	}
	old.image, old.artifact = m.Image, m.Artifact
	st, err := os.Stat(p.Base.blob(m.Artifact.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		return old, refuse("its artifact is not in %s", p.Base.dir)
	}
	if err == nil && st.Size() != m.Artifact.Length {
		err = refuse("its artifact in %s is damaged", p.Base.dir)
	}
	return old, err
}

// namedImage is the image of a release that was asked for by name.
func (p *patcher) namedImage(ctx context.Context, from PatchFrom, e bundle.Entry) (oldImage, error) {
	old, err := p.publishedImage(e)
	old.PatchFrom, old.named = from, true
	if from.Image == "" {
		if err != nil {
			err = fmt.Errorf("%w; give its image: --patch-from %s=IMAGE", err, from.Version)
		}
		return old, err
	}
	got, err := sumFile(ctx, from.Image, p.progress("reading "+from.Image))
	if err != nil {
		return old, err
	}
	if old.image.SHA256.IsZero() {
		p.warnings = append(p.warnings, fmt.Sprintf("the manifest of %s is not in %s: nothing proves that %s is its image, SHA-256 %s",
			from.Version, p.Base.dir, from.Image, got.SHA256))
	} else if old.image != got {
		return old, refuse("%s is another image: SHA-256 %s, the manifest says %s", from.Image, got.SHA256, old.image.SHA256)
	}
	old.image = got
	return old, nil
}

// make makes the patches as blobs of the bundle and enters them in the manifest.
func (p *patcher) make(ctx context.Context, dir string, m *firmware.Manifest) error {
	for _, old := range p.from {
		switch {
		case old.image == m.Image:
			p.note("no patch from %s: it has the same image", old.Version)
			continue
		case old.image.Length == 0:
			p.note("no patch from %s: its image is empty", old.Version)
			continue
		case slices.ContainsFunc(m.Patches, func(q firmware.Patch) bool { return q.From == old.image }):
			p.note("no patch from %s: there is one from the same image", old.Version)
			continue
		}
		err := p.makeFrom(ctx, dir, m, old)
		if errors.Is(err, ErrRefused) && !old.named {
			p.warnings = append(p.warnings, fmt.Sprintf("no patch from %s: %v", old.Version, err))
		} else if err != nil {
			return fmt.Errorf("patch from %s: %w", old.Version, err)
		}
	}
	return nil
}

func (p *patcher) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

func (p *patcher) makeFrom(ctx context.Context, dir string, m *firmware.Manifest, old oldImage) error {
	path := old.Image
	if path == "" {
		beside := filepath.Dir(filepath.Clean(p.Out))
		f, err := unpackBlob(ctx, p.Base.blob(old.artifact.SHA256), old.artifact, old.image, beside, p.progress("unpacking "+old.Version))
		if err != nil {
			return err
		}
		defer f.Close()
		path = pathOf(f)
	}
	made := filepath.Join(dir, "blobs", "new")
	c, err := delta.CreateFile(ctx, path, p.Image, made, delta.Options{Progress: p.progress("making the patch from " + old.Version)})
	if err != nil {
		return err
	}
	if c.Image != m.Image || c.Patch.From != old.image {
		return fmt.Errorf("an image changed while it was read; use copies that nobody writes to")
	}
	if c.Patch.Length >= m.Artifact.Length {
		p.note("no patch from %s: it would have %s, the artifact has %s", old.Version, bytesWords(c.Patch.Length), bytesWords(m.Artifact.Length))
		return os.Remove(made)
	}
	m.Patches = append(m.Patches, c.Patch)
	return durable.Rename(made, filepath.Join(dir, bundle.BlobName(c.Patch.SHA256)))
}
