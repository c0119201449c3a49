package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrUnsettled says that a repository's newest root does not vouch for its
// timestamp or what hangs from it: a publish of a root was cut short.
var ErrUnsettled = errors.New("the last publish of a root was interrupted: publish it again, or, if only online keys changed, run fairlead-repo renew")

// Base is what a repository says now, verified. Expired metadata counts: the
// next bundle must follow it all the same. The zero value is an empty
// repository.
type Base struct {
	fsys      fs.FS
	roots     []*Doc[metadata.RootType]
	timestamp *Doc[metadata.TimestampType]
	snapshot  *Doc[metadata.SnapshotType]
	targets   *Doc[metadata.TargetsType]
	products  map[string]*productFile
	known     map[string]*productFile // while loading: by product, what need not be parsed again

	policy     *tlog.Policy
	policyText []byte
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
	return metaOf(b.Product(product))
}

// TargetsDoc, Timestamp and Snapshot are the files behind, or nil.
func (b *Base) TargetsDoc() *Doc[metadata.TargetsType]         { return b.targets }
func (b *Base) Timestamp() *Doc[metadata.TimestampType]        { return b.timestamp }
func (b *Base) Snapshot() *Doc[metadata.SnapshotType]          { return b.snapshot }
func (b *Base) Product(name string) *Doc[metadata.TargetsType] { return b.products[name].doc() }

// Releases are those of a product's role, by rising counter; none if it was never published or is no longer delegated. Callers
// do not change them.
func (b *Base) Releases(product string) []Entry { return b.products[product].list() }

// productFile is a product's file, and the releases in it.
type productFile struct {
	*Doc[metadata.TargetsType]
	releases []Entry
}

func (p *productFile) doc() *Doc[metadata.TargetsType] {
	if p == nil {
		return nil
	}
	return p.Doc
}

func (p *productFile) list() []Entry {
	if p == nil {
		return nil
	}
	return p.releases
}

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
