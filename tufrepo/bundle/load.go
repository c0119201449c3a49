package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// LoadBase reads a repository folder (metadata/, targets/, blobs/).
// pinnedRoot is the root that the caller trusts, in any version that the
// folder continues; nil trusts the folder's own first root.
//
// A folder without a root is an empty Base. Where a root is there and no
// timestamp, nothing was published yet, and Targets is nil. Everything else
// must verify under the newest root; ErrUnsettled if it did under an older one.
func LoadBase(fsys fs.FS, pinnedRoot []byte) (*Base, error) {
	return settled(load(&Base{fsys: fsys}, pinnedRoot))
}

// LoadNext is LoadBase for the publisher, after the step from base that plan describes; a nil plan changes no product. A product's
// file that is byte for byte as it was read for one of them is not parsed again; its signatures are verified again.
func LoadNext(fsys fs.FS, base *Base, plan *Plan) (*Base, error) {
	b := &Base{fsys: fsys, known: maps.Clone(base.products)}
	if b.known == nil {
		b.known = map[string]*productFile{}
	}
	if plan != nil {
		maps.Copy(b.known, plan.files)
	}
	return settled(load(b, nil))
}

// LoadOwn is LoadBase for the publisher, which trusts its own folder and has
// to repair it: what verifies only under an older root is taken.
func LoadOwn(fsys fs.FS) (*Base, error) { return load(&Base{fsys: fsys}, nil) }

func settled(b *Base, err error) (*Base, error) {
	if err == nil && !b.Settled() {
		err = ErrUnsettled
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func load(b *Base, pinnedRoot []byte) (*Base, error) {
	for _, step := range []func() error{
		func() error { return b.loadRoots(pinnedRoot) }, b.loadTimestamp, b.loadSnapshot, b.loadTargets, b.loadPolicy, b.loadProducts,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("reading the repository: %w", err)
		}
	}
	b.known = nil
	return b, nil
}

// loadRoots walks the chain as TUF 5.3 says, from the pinned version on.
func (b *Base) loadRoots(pinned []byte) error {
	first := int64(1)
	if pinned != nil {
		doc, err := newDoc[metadata.RootType]("pinned root", pinned)
		if err != nil {
			return err
		}
		if err := checkRoot(nil, doc.Meta); err != nil {
			return err
		}
		first = doc.Version
	}
	for v := first; ; v++ {
		raw, err := readOptional(b.fsys, MetadataName(v, metadata.ROOT), MaxRoot)
		if err != nil {
			return err
		}
		if raw == nil {
			break
		}
		if v == first && pinned != nil && !bytes.Equal(raw, pinned) {
			return fmt.Errorf("root %d of the repository is not the pinned root: this is another repository, or a forged one", v)
		}
		if err := b.addRoot(v, raw); err != nil {
			return err
		}
	}
	if pinned != nil && len(b.roots) == 0 {
		return fmt.Errorf("the repository has no root %d, the pinned one", first)
	}
	return nil
}

func (b *Base) addRoot(version int64, raw []byte) error {
	doc, err := newDoc[metadata.RootType](MetadataName(version, metadata.ROOT), raw)
	if err != nil {
		return err
	}
	if err := checkRoot(b.Root(), doc.Meta); err != nil {
		return fmt.Errorf("%s: %w", doc.Name, err)
	}
	b.roots = append(b.roots, doc)
	return nil
}

func (b *Base) loadTimestamp() error {
	raw, err := readOptional(b.fsys, TimestampName, MaxTimestamp)
	if err != nil || raw == nil {
		return err
	}
	if len(b.roots) == 0 {
		return fmt.Errorf("there is a %s and no root: files were lost; restore them from a backup", TimestampName)
	}
	doc, err := newDoc[metadata.TimestampType](TimestampName, raw)
	if err != nil {
		return err
	}
	if _, err := pinOf(doc.Meta.Signed.Meta, metadata.SNAPSHOT); err != nil {
		return fmt.Errorf("%s: %w", doc.Name, err)
	}
	b.timestamp = doc
	return b.verifiedBySomeRoot(metadata.TIMESTAMP, doc.Meta)
}

func (b *Base) loadSnapshot() error {
	if b.timestamp == nil {
		return nil
	}
	doc, err := pinned[metadata.SnapshotType](b.fsys, b.timestamp.Meta.Signed.Meta, metadata.SNAPSHOT)
	if err != nil {
		return err
	}
	b.snapshot = doc
	return b.verifiedBySomeRoot(metadata.SNAPSHOT, doc.Meta)
}

func (b *Base) loadTargets() error {
	if b.snapshot == nil {
		return nil
	}
	doc, err := pinned[metadata.TargetsType](b.fsys, b.snapshot.Meta.Signed.Meta, metadata.TARGETS)
	if err != nil {
		return err
	}
	if err := errors.Join(targetsFaults(doc.Meta)...); err != nil {
		return fmt.Errorf("%s: %w", doc.Name, err)
	}
	b.targets = doc
	return b.verifiedBySomeRoot(metadata.TARGETS, doc.Meta)
}

// loadProducts reads the role of every delegated product. One that is no longer
// delegated stays in the snapshot for ever, because clients refuse a snapshot
// that forgets a role; nobody vouches for it any more, so only its number counts.
func (b *Base) loadProducts() error {
	b.products = map[string]*productFile{}
	for _, product := range b.Delegated() {
		if b.snapshot.Meta.Signed.Meta[product+".json"] == nil {
			continue
		}
		file, err := b.loadProduct(product)
		if err != nil {
			return err
		}
		if err := verifyProduct(b.targets.Meta, product, file.Doc); err != nil {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
		b.products[product] = file
	}
	return nil
}

func (b *Base) loadProduct(product string) (*productFile, error) {
	name, raw, err := readPinned(b.fsys, b.snapshot.Meta.Signed.Meta, product, MaxTargets)
	if err != nil {
		return nil, err
	}
	if known := b.known[product]; known != nil && known.Name == name && bytes.Equal(known.Bytes, raw) {
		return known, nil
	}
	doc, err := newDoc[metadata.TargetsType](name, raw)
	if err != nil {
		return nil, err
	}
	releases, err := Releases(product, doc.Meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &productFile{doc, releases}, nil
}

// pinned reads the version of role that meta names.
func pinned[T metadata.Roles](fsys fs.FS, meta map[string]*metadata.MetaFiles, role string) (*Doc[T], error) {
	name, raw, err := readPinned(fsys, meta, role, limit[T]())
	if err != nil {
		return nil, err
	}
	return newDoc[T](name, raw)
}

// readPinned compares length and hash, before anybody parses.
func readPinned(fsys fs.FS, meta map[string]*metadata.MetaFiles, role string, limit int) (name string, raw []byte, err error) {
	pin, err := pinOf(meta, role)
	if err != nil {
		return "", nil, err
	}
	name = MetadataName(pin.Version, role)
	if raw, err = readFile(fsys, name, limit); err != nil {
		return "", nil, err
	}
	if err := pin.VerifyLengthHashes(raw); err != nil {
		return "", nil, fmt.Errorf("%s is not the file that was published: %w", name, err)
	}
	return name, raw, nil
}

func pinOf(meta map[string]*metadata.MetaFiles, role string) (*metadata.MetaFiles, error) {
	pin := meta[role+".json"]
	if pin == nil || pin.Version < 1 || len(pin.Hashes["sha256"]) != 32 || pin.Length < 1 {
		return nil, fmt.Errorf("no version, length and sha256 of %s", role)
	}
	return pin, nil
}

func (b *Base) verifiedBySomeRoot(role string, m any) error {
	var errs error
	for _, root := range slices.Backward(b.roots) {
		err := verify(root.Meta, role, m)
		if err == nil {
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// verify is go-tuf's VerifyDelegate behind a recover.
func verify(root *metadata.Metadata[metadata.RootType], role string, m any) error {
	return guard(func() error { return root.VerifyDelegate(role, m) })
}

// verifyProduct is the same for a product's file, of which go-tuf prints the whole document for each key. Here its signatures are
// counted over one printing, by the same rule; its delegation has passed targetsFaults.
func verifyProduct(targets *metadata.Metadata[metadata.TargetsType], product string, d *Doc[metadata.TargetsType]) error {
	s, err := d.Count(product, ByTargets(targets, product))
	if err == nil && !s.Enough() {
		err = errors.New(s.String())
	}
	return err
}
