package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrUnsettled says that a repository's newest root does not vouch for its
// timestamp or what hangs from it: a publish of a root was cut short.
var ErrUnsettled = errors.New("the last publish of a root was interrupted: run fairlead-repo renew, or publish again")

// Doc is one metadata file: its bytes, and what they say.
type Doc[T metadata.Roles] struct {
	Name    string // its name in a repository
	Version int64
	Bytes   []byte
	Meta    *metadata.Metadata[T]
}

func newDoc[T metadata.Roles](name string, b []byte) (*Doc[T], error) {
	m, err := Parse[T](b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &Doc[T]{Name: name, Version: commonOf(m).version, Bytes: b, Meta: m}
	if v, _, ok := ParseMetadataName(name); ok && v != d.Version {
		return nil, fmt.Errorf("%s holds version %d: name and content disagree", name, d.Version)
	}
	return d, nil
}

// MetaFile is the entry for this file in the metadata above it: version,
// length and SHA-256, always all three.
func (d *Doc[T]) MetaFile() *metadata.MetaFiles {
	return MetaFile(d.Version, d.Bytes)
}

// MetaFile is the entry for a file of metadata in the metadata above it.
func MetaFile(version int64, raw []byte) *metadata.MetaFiles {
	f := metadata.MetaFile(version)
	sum := firmware.Sum(raw)
	f.Length, f.Hashes = int64(len(raw)), metadata.Hashes{"sha256": sum[:]}
	return f
}

// Base is what a repository says now, verified. Expired metadata counts: the
// next bundle must follow it all the same. The zero value is an empty
// repository.
type Base struct {
	fsys      fs.FS
	roots     []*Doc[metadata.RootType]
	timestamp *Doc[metadata.TimestampType]
	snapshot  *Doc[metadata.SnapshotType]
	targets   *Doc[metadata.TargetsType]
	products  map[string]*Doc[metadata.TargetsType]
}

// LoadBase reads a repository folder (metadata/, targets/, blobs/).
// pinnedRoot is the root that the caller trusts, in any version that the
// folder continues; nil trusts the folder's own first root.
//
// A folder without a root is an empty Base. Where a root is there and no
// timestamp, nothing was published yet, and Targets is nil. Everything else
// must verify under the newest root; ErrUnsettled if it did under an older one.
func LoadBase(fsys fs.FS, pinnedRoot []byte) (*Base, error) {
	b, err := load(fsys, pinnedRoot)
	if err != nil {
		return nil, err
	}
	if !b.Settled() {
		return nil, ErrUnsettled
	}
	return b, nil
}

// LoadOwn is LoadBase for the publisher, which trusts its own folder and has
// to repair it: what verifies only under an older root is taken.
func LoadOwn(fsys fs.FS) (*Base, error) { return load(fsys, nil) }

func load(fsys fs.FS, pinnedRoot []byte) (*Base, error) {
	b := &Base{fsys: fsys}
	for _, step := range []func() error{
		func() error { return b.loadRoots(pinnedRoot) }, b.loadTimestamp, b.loadSnapshot, b.loadTargets, b.loadProducts,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("reading the repository: %w", err)
		}
	}
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

// loadProducts reads every role that the snapshot names. One that is no longer
// delegated stays named for ever, because clients refuse a snapshot that
// forgets a role; nobody vouches for it any more, so only its number counts.
func (b *Base) loadProducts() error {
	b.products = map[string]*Doc[metadata.TargetsType]{}
	for _, product := range b.Delegated() {
		if b.snapshot.Meta.Signed.Meta[product+".json"] == nil {
			continue
		}
		doc, err := pinned[metadata.TargetsType](b.fsys, b.snapshot.Meta.Signed.Meta, product)
		if err != nil {
			return err
		}
		err = errors.Join(append(productFaults(product, doc.Meta), verify(b.targets.Meta, product, doc.Meta))...)
		if err != nil {
			return fmt.Errorf("%s: %w", doc.Name, err)
		}
		b.products[product] = doc
	}
	return nil
}

// pinned reads the version of role that meta names, and compares length and
// hash before it parses.
func pinned[T metadata.Roles](fsys fs.FS, meta map[string]*metadata.MetaFiles, role string) (*Doc[T], error) {
	pin, err := pinOf(meta, role)
	if err != nil {
		return nil, err
	}
	name := MetadataName(pin.Version, role)
	raw, err := readFile(fsys, name, limit[T]())
	if err != nil {
		return nil, err
	}
	if err := pin.VerifyLengthHashes(raw); err != nil {
		return nil, fmt.Errorf("%s is not the file that was published: %w", name, err)
	}
	return newDoc[T](name, raw)
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
func verify[T metadata.Roles](delegator *metadata.Metadata[T], role string, m any) error {
	return guard(func() error { return delegator.VerifyDelegate(role, m) })
}

// Settled tells whether the newest root vouches for timestamp, snapshot and
// targets. It does not between the two renames that publish a root which
// nothing ties to the one before.
func (b *Base) Settled() bool {
	if b.timestamp == nil {
		return true
	}
	root := b.Root()
	return verify(root, metadata.TIMESTAMP, b.timestamp.Meta) == nil &&
		verify(root, metadata.SNAPSHOT, b.snapshot.Meta) == nil &&
		verify(root, metadata.TARGETS, b.targets.Meta) == nil
}

// Empty tells whether the repository has no root yet.
func (b *Base) Empty() bool { return len(b.roots) == 0 }

// Root is the newest root, or nil. Callers do not change what Base returns.
func (b *Base) Root() *metadata.Metadata[metadata.RootType] {
	if b.Empty() {
		return nil
	}
	return b.roots[len(b.roots)-1].Meta
}

// Roots is the chain, oldest first.
func (b *Base) Roots() []*Doc[metadata.RootType] { return slices.Clone(b.roots) }

// Targets is the top-level targets role, or nil before the first publish.
func (b *Base) Targets() *metadata.Metadata[metadata.TargetsType] { return metaOf(b.targets) }

// Role is a product's role, or nil if it was never published or is no longer
// delegated.
func (b *Base) Role(product string) *metadata.Metadata[metadata.TargetsType] {
	return metaOf(b.products[product])
}

// TargetsDoc, Timestamp and Snapshot are the files behind, or nil.
func (b *Base) TargetsDoc() *Doc[metadata.TargetsType]         { return b.targets }
func (b *Base) Timestamp() *Doc[metadata.TimestampType]        { return b.timestamp }
func (b *Base) Snapshot() *Doc[metadata.SnapshotType]          { return b.snapshot }
func (b *Base) Product(name string) *Doc[metadata.TargetsType] { return b.products[name] }

func metaOf[T metadata.Roles](d *Doc[T]) *metadata.Metadata[T] {
	if d == nil {
		return nil
	}
	return d.Meta
}

// Products names the products that have a published role, sorted.
func (b *Base) Products() []string { return slices.Sorted(maps.Keys(b.products)) }

// Delegated names the products that the targets role delegates to, in order.
func (b *Base) Delegated() []string {
	if b.targets == nil {
		return nil
	}
	return delegated(b.targets.Meta)
}

func delegated(targets *metadata.Metadata[metadata.TargetsType]) []string {
	if targets == nil || targets.Signed.Delegations == nil {
		return nil
	}
	var names []string
	for _, r := range targets.Signed.Delegations.Roles {
		names = append(names, r.Name)
	}
	return names
}

// Manifest reads the manifest of a published target of a product's role, and
// compares it with the role.
func (b *Base) Manifest(target string) (*firmware.Manifest, error) {
	product, _, err := firmware.ParseTargetPath(target)
	if err != nil {
		return nil, err
	}
	role := b.Role(product)
	if role == nil || role.Signed.Targets[target] == nil {
		return nil, fmt.Errorf("release %s is not published", target)
	}
	entry, err := parseEntry(target, role.Signed.Targets[target])
	if err != nil {
		return nil, err
	}
	raw, err := readFile(b.fsys, ManifestName(target, entry.SHA256), firmware.MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", target, err)
	}
	return entry.manifest(raw)
}

// versionOf is the number of a role's last published version, or 0.
func (b *Base) versionOf(role string) int64 {
	if b.snapshot == nil {
		return 0
	}
	if pin := b.snapshot.Meta.Signed.Meta[role+".json"]; pin != nil {
		return pin.Version
	}
	return 0
}
