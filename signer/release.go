package signer

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	// MaxTargets is the most releases that a product's file lists: devices load the whole file.
	MaxTargets = 200
	// DefaultKeep is how many stay when MaxTargets is passed.
	DefaultKeep = 100
)

// ReleaseOptions describe a release of an image.
type ReleaseOptions struct {
	Out      string // bundle folder to make
	Base     *Base
	Product  string
	Version  string
	Hardware []string
	Image    string // file or block device
	Counter  int64  // 0: one above the highest of the product
	MinAgent string
	Notes    string
	Channel  firmware.Channel // in which it begins; "" is stable
	Keep     int              // how many releases the product's file lists at most; 0: DefaultKeep once MaxTargets is passed
	Lifetime time.Duration
	Now      time.Time
	Keys     []keyfile.Signer // sign at once
	// PatchFrom and Patches say from what earlier releases devices are to have patches: from those named, or the release
	// is refused; and from so many of the newest others, as far as the repository has their artifacts.
	PatchFrom []PatchFrom
	Patches   int
	NoChunks  bool // devices without a patch fetch whole frames
	// Zstd, if set, compresses the artifact instead of the coder that is built in.
	Zstd *ZstdProgram
	// Attachments are what is said of the release, see ReadSBOM, MakeSBOM and ReadProvenance.
	Attachments []Attachment
	// Progress, if set, is called with what is being done, in words, and how far that has come in bytes.
	Progress func(what string, done, total int64)
}

func (o ReleaseOptions) progress(what string) func(done, total int64) {
	if o.Progress == nil {
		return nil
	}
	return func(done, total int64) { o.Progress(what, done, total) }
}

// NewRelease makes a bundle: the image as an artifact, patches to it, its chunks, its manifest, and the product's file with the
// release in it. A patch that is not smaller than the artifact is left out.
func NewRelease(ctx context.Context, o ReleaseOptions) (*Draft, error) {
	if err := o.Base.ready(o.Now); err != nil {
		return nil, err
	}
	role, err := o.role()
	if err != nil {
		return nil, err
	}
	manifest, err := o.manifest()
	if err != nil {
		return nil, err
	}
	patches := &patcher{ReleaseOptions: o, warnings: o.Base.warnings(o.Now, o.Product)}
	if err := patches.choose(ctx, o.Base.Releases(o.Product)); err != nil {
		return nil, err
	}
	err = stage(ctx, o.Out, func(dir string) error {
		if err := o.build(ctx, dir, manifest); err != nil {
			return err
		}
		if o.Zstd != nil {
			patches.note("the artifact was compressed by %v", o.Zstd)
		}
		if err := o.attach(dir, manifest); err != nil {
			return err
		}
		if err := patches.make(ctx, dir, manifest); err != nil {
			return err
		}
		if err := o.list(dir, role, manifest); err != nil {
			return err
		}
		patches.warnings = append(patches.warnings, o.prune(role)...)
		return o.write(dir, role)
	})
	if err != nil {
		return nil, err
	}
	draft, err := readDraft(o.Out, o.Base, patches.warnings)
	if err != nil {
		return nil, err
	}
	draft.Notes = patches.notes
	return draft, nil
}

// role is the draft of the product's file, without the release yet.
func (o ReleaseOptions) role() (*targetsMeta, error) {
	if delegation(o.Base.Targets(), o.Product) == nil {
		return nil, unknownProduct(&o.Base.Targets().Signed, o.Product)
	}
	published := o.Base.Role(o.Product)
	if published != nil {
		return successor(published, o.Now, o.Lifetime)
	}
	first := metadata.Targets()
	// A product that was withdrawn and comes back goes on counting: devices remember.
	if was := o.Base.Snapshot().Meta.Signed.Meta[o.Product+".json"]; was != nil {
		first.Signed.Version = was.Version + 1
	}
	stamp(&first.Signed.UnrecognizedFields, &first.Signed.Expires, o.Now, o.Lifetime)
	return first, nil
}

// manifest is the manifest without the image, checked as far as that goes before the long work begins.
func (o ReleaseOptions) manifest() (*firmware.Manifest, error) {
	highest, err := o.highest(o.Base.Releases(o.Product))
	if err != nil {
		return nil, err
	}
	counter := o.Counter
	if counter == 0 {
		counter = highest + 1
	}
	if counter <= highest {
		return nil, refuse("counter %d is not above %d, the highest of %s: devices would refuse the release as older; leave --counter out to use %d",
			counter, highest, o.Product, highest+1)
	}
	m := &firmware.Manifest{
		Schema: firmware.ManifestSchema, Product: o.Product, Hardware: o.Hardware, Version: o.Version, Counter: counter,
		MinAgent: o.MinAgent, Notes: o.Notes,
	}
	return m, checkEarly(*m)
}

// checkEarly validates the manifest as if its image were empty.
func checkEarly(m firmware.Manifest) error {
	empty := firmware.Blob{SHA256: firmware.Sum(nil)}
	head := firmware.Sum([]byte("head"))
	m.Image = empty
	m.Artifact = firmware.Framed{
		Blob: firmware.Blob{Length: firmware.HeaderLength, SHA256: head},
		Head: firmware.Blob{Length: firmware.HeaderLength, SHA256: head},
	}
	if _, err := m.Encode(); err != nil {
		return refusal{err}
	}
	return nil
}

// highest is the highest counter of the product so far. It refuses a version that was released already.
func (o ReleaseOptions) highest(released []bundle.Entry) (int64, error) {
	highest := int64(0)
	for _, e := range released {
		// Names that differ only by case would make a file that devices refuse to read.
		if strings.EqualFold(e.Version, o.Version) {
			return 0, refuse("%s %s is released already, with counter %d; a release never changes: choose another version", o.Product, e.Version, e.Counter)
		}
		highest = max(highest, e.Counter)
	}
	return highest, nil
}

// build makes the artifact and the chunks as blobs of the bundle and enters them in the manifest. They are made side by side: where
// one writes to the disk, or has only one thing left to do, the other goes on.
func (o ReleaseOptions) build(ctx context.Context, dir string, m *firmware.Manifest) error {
	if err := durable.MkdirAll(filepath.Join(dir, "blobs"), 0o755); err != nil {
		return err
	}
	var e firmware.Encoded
	var c *chunk.Created
	var encoded atomic.Bool // then the rest of the chunks is what people wait for
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		e, err = o.encode(ctx, dir)
		encoded.Store(true)
		return err
	})
	g.Go(func() (err error) {
		c, err = o.chunks(ctx, dir, &encoded)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	m.Image, m.Artifact = e.Image, e.Artifact
	if c == nil {
		return nil
	}
	if c.Image != e.Image {
		return fmt.Errorf("%s changed while it was read; use a copy that nobody writes to", o.Image)
	}
	m.Chunks = &c.File
	return nil
}

func (o ReleaseOptions) encode(ctx context.Context, dir string) (firmware.Encoded, error) {
	made := filepath.Join(dir, "blobs", "new-artifact")
	e, err := firmware.EncodeFile(ctx, o.Image, made, o.Zstd.EncodeOptions(o.progress("building the artifact")))
	if err != nil {
		return e, fmt.Errorf("building the artifact: %w", err)
	}
	return e, durable.Rename(made, filepath.Join(dir, bundle.BlobName(e.Artifact.SHA256)))
}

// list writes the manifest and enters it in the product's file.
func (o ReleaseOptions) list(dir string, role *targetsMeta, m *firmware.Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return refusal{err}
	}
	path, entry, err := bundle.Target(data)
	if err != nil {
		return err
	}
	role.Signed.Targets[path] = entry
	if err := setChannel(role, m.Version, o.Channel); err != nil {
		return err
	}
	return writeFile(dir, "targets/"+path, data)
}

// prune drops the oldest releases where there are too many, and says which.
func (o ReleaseOptions) prune(role *targetsMeta) []string {
	limit, keep := MaxTargets, DefaultKeep
	if o.Keep > 0 {
		limit, keep = min(o.Keep, MaxTargets), min(o.Keep, MaxTargets)
	}
	if len(role.Signed.Targets) <= limit {
		return nil
	}
	entries, err := bundle.Releases(o.Product, role)
	if err != nil {
		return nil
	}
	old := entries[:len(entries)-keep]
	for _, e := range old {
		delete(role.Signed.Targets, e.Path)
		_ = setChannel(role, e.Version, firmware.Stable) // says nothing of it any more
	}
	return []string{fmt.Sprintf("%s lists %d releases; the oldest %d leave it, %s to %s: devices can no longer be directed to them (--keep %d)",
		o.Product, len(entries), len(old), old[0].Version, old[len(old)-1].Version, keep)}
}

// write signs the product's file and writes it.
func (o ReleaseOptions) write(dir string, role *targetsMeta) error {
	if err := signProduct(role, o.Base, o.Product, o.Keys); err != nil {
		return err
	}
	return drafts{products: map[string]*targetsMeta{o.Product: role}}.write(dir, o.Base)
}
