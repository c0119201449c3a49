package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// baseDir is where a bundle carries the published metadata that its drafts follow.
const baseDir = bundle.BaseDir

// Base is the published state that drafts follow, verified.
type Base struct {
	*bundle.Base
	dir string // the folder that it was read from

	trustClock bool
}

// blob is where the repository has a blob, if it has it.
func (b *Base) blob(d firmware.Digest) string {
	return filepath.Join(b.dir, filepath.FromSlash(bundle.BlobName(d)))
}

// ReadBase reads a repository, or a copy of its metadata folder. root is the root file that the caller trusts; ""
// trusts the folder's own first root.
func ReadBase(dir, root string) (*Base, error) {
	var pinned []byte
	if root != "" {
		var err error
		if pinned, err = readFile(root, bundle.MaxRoot); err != nil {
			return nil, fmt.Errorf("reading the trusted root: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "metadata")); err != nil {
		return nil, fmt.Errorf("repository %s: %w", dir, err)
	}
	b, err := bundle.LoadBase(os.DirFS(dir), pinned)
	if err != nil {
		return nil, refuse("repository %s: %w", dir, err)
	}
	return &Base{Base: b, dir: dir}, nil
}

// findManifest is the first published release, by product and counter, that has something; nil if none has. Releases whose
// manifest is not in the folder are passed over.
func (b *Base) findManifest(has func(*firmware.Manifest) bool) (path string, m *firmware.Manifest, err error) {
	for _, product := range b.Products() {
		for _, e := range b.Releases(product) {
			m, err := b.Manifest(e.Path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", nil, refusal{err}
			}
			if has(m) {
				return e.Path, m, nil
			}
		}
	}
	return "", nil, nil
}

// ready refuses a repository that nothing can be built upon yet, and a clock that is behind it.
func (b *Base) ready(now time.Time) error {
	if b.Targets() == nil {
		return refuse("nothing is published in the repository yet; publish the bundle of the first root, or work on it with --bundle")
	}
	return b.checkClock(now)
}

// baseOf is the base that a bundle carries, or that of a repository if one is named. A first bundle has none.
func baseOf(dir, repo, root string) (*Base, error) {
	if repo != "" {
		return ReadBase(repo, root)
	}
	own := filepath.Join(dir, baseDir)
	if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
		return &Base{Base: &bundle.Base{}}, nil
	}
	return ReadBase(own, root)
}

// carry writes the base's metadata below dir, for those who sign without a copy of the repository.
func (b *Base) carry(dir string) error {
	files := map[string][]byte{}
	for _, doc := range b.Roots() {
		files[doc.Name] = doc.Bytes
	}
	if doc := b.Timestamp(); doc != nil {
		files[doc.Name] = doc.Bytes
	}
	if doc := b.Snapshot(); doc != nil {
		files[doc.Name] = doc.Bytes
	}
	if doc := b.TargetsDoc(); doc != nil {
		files[doc.Name] = doc.Bytes
	}
	for _, product := range b.Products() {
		doc := b.Product(product)
		files[doc.Name] = doc.Bytes
	}
	for name, data := range files {
		if err := writeFile(filepath.Join(dir, baseDir), name, data); err != nil {
			return fmt.Errorf("carrying the published metadata: %w", err)
		}
	}
	return nil
}

// writeFile writes a file of a bundle, and the folders above it.
func writeFile(dir, name string, data []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o644)
}

// warnings tell of published files that are expired: devices refuse them already.
func (b *Base) warnings(now time.Time, product string) []string {
	var out []string
	note := func(what string, expires time.Time) {
		if now.After(expires) {
			out = append(out, fmt.Sprintf("the published %s expired on %s; devices refuse it until a new one is published", what, day(expires)))
		}
	}
	note(metadata.ROOT, b.Root().Signed.Expires)
	if t := b.Targets(); t != nil {
		note(metadata.TARGETS, t.Signed.Expires)
	}
	if role := b.Role(product); role != nil {
		note(product, role.Signed.Expires)
	}
	return out
}
