package bundle

import (
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// File is one file to publish.
type File struct {
	Name string // in the repository
	From string // path of the source in the file system
	firmware.Blob
	// Data is the content of metadata and manifests: what was checked is what
	// is published. It is nil for blobs, which are compared with the Blob while
	// they are copied.
	Data []byte
}

// Plan is what publishing a bundle means for a repository: the files that are
// new, and the state that follows.
type Plan struct {
	Blobs     []File // that the bundle has; the repository may have them too, of published releases above all
	Manifests []File
	Products  []File
	// PolicyFiles has the log policy if it is new.
	PolicyFiles []File
	Targets     []File // none or one
	Roots       []File // oldest first
	// Inherited are blobs that new manifests pin and the bundle lacks: the
	// repository has a file of that name and length.
	Inherited []File

	// Chain is every root that a device may meet while the plan is carried out:
	// the repository's newest, if it has one, and the new ones.
	Chain []*metadata.Metadata[metadata.RootType]
	// Top is the top-level targets role as it will be.
	Top *metadata.Metadata[metadata.TargetsType]
	// Policy is the log policy as it will be; nil if there is none.
	Policy *tlog.Policy
	// Listed are all releases that product roles will list, the new ones
	// included.
	Listed []Entry
	// Meta is what the next snapshot lists.
	Meta map[string]*metadata.MetaFiles
	// Releases are the new ones, by product and counter.
	Releases []Entry

	files map[string]*productFile // those of Products, by product
}

// Empty tells that the repository has everything already, damage to blobs aside.
func (p *Plan) Empty() bool {
	return len(p.Manifests)+len(p.Products)+len(p.Targets)+len(p.Roots) == 0
}

// Files is everything new, in the order of publication: nothing names a file
// that comes after it.
func (p *Plan) Files() []File {
	var all []File
	for _, group := range [][]File{p.Blobs, p.Manifests, p.Products, p.PolicyFiles, p.Targets, p.Roots} {
		all = append(all, group...)
	}
	return all
}

// Bytes is the total length of the blobs to copy.
func (p *Plan) Bytes() int64 {
	var n int64
	for _, f := range p.Blobs {
		n += f.Length
	}
	return n
}

// Vouched tells whether every root of the chain vouches for m in its role, so
// that it does not matter which of them a device has met.
func Vouched[T metadata.Roles](chain []*metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T]) bool {
	for _, root := range chain {
		if verify(root, role, m) != nil {
			return false
		}
	}
	return true
}
