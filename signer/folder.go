package signer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// metaFile is one versioned metadata file that signers have a part in; exactly one of root and targets is set.
type metaFile struct {
	name    string // path within the folder, with slashes
	role    string
	version int64
	raw     []byte
	root    *rootMeta
	targets *targetsMeta
	doc     document
}

// document is what root and targets files have in common.
type document interface {
	Count(role string, e bundle.Entitled) (bundle.Signatures, error)
	SignedDigest() (firmware.Digest, error)
	Sign(s keyfile.Signer) ([]byte, error)
}

// folder is what a bundle says; nothing of its own is verified. base is the published state that it follows.
type folder struct {
	dir   string
	files []*metaFile // metadata/, in the order root, targets, products, each by version
	base  *Base       // never nil
}

// readFolder reads the root, targets and product files of a bundle. A file that is not what its name says is refused.
func readFolder(dir string, base *Base) (*folder, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "metadata"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse("%s has no folder metadata: it is neither a bundle nor a repository", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	f := &folder{dir: dir, base: base}
	for _, e := range entries {
		file, err := readMeta(dir, "metadata/"+e.Name())
		if err != nil {
			return nil, err
		}
		if file != nil {
			f.files = append(f.files, file)
		}
	}
	slices.SortFunc(f.files, func(a, b *metaFile) int {
		return cmp.Or(cmp.Compare(rank(a.role), rank(b.role)), cmp.Compare(a.role, b.role), cmp.Compare(a.version, b.version))
	})
	return f, nil
}

// rank orders files as they depend on one another.
func rank(role string) int {
	switch role {
	case metadata.ROOT:
		return 0
	case metadata.TARGETS:
		return 1
	}
	return 2
}

// readMeta reads a metadata file; nil for files that signers have no part in.
func readMeta(dir, name string) (*metaFile, error) {
	version, role, ok := bundle.ParseMetadataName(name)
	if !ok || role == metadata.SNAPSHOT {
		return nil, nil
	}
	data, err := readFile(filepath.Join(dir, name), bundle.MaxTargets)
	if err != nil {
		return nil, err
	}
	f := &metaFile{name: name, role: role, version: version, raw: data}
	return f, f.parse()
}

func (f *metaFile) parse() error {
	var version int64
	if f.role == metadata.ROOT {
		doc, err := bundle.Read[metadata.RootType]("", f.raw)
		if err != nil {
			return refuse("%s: %w", f.name, err)
		}
		f.root, f.doc, version = doc.Meta, doc, doc.Version
	} else {
		doc, err := bundle.Read[metadata.TargetsType]("", f.raw)
		if err != nil {
			return refuse("%s: %w", f.name, err)
		}
		f.targets, f.doc, version = doc.Meta, doc, doc.Version
	}
	if version != f.version {
		return refuse("%s holds version %d: was it renamed, or swapped with another file?", f.name, version)
	}
	return nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, refuse("%s is not a regular file", name)
	}
	if st.Size() > limit {
		return nil, refuse("%s has %d bytes; such a file has at most %d", name, st.Size(), limit)
	}
	data := make([]byte, st.Size())
	if _, err := file.ReadAt(data, 0); err != nil && len(data) > 0 {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

// root is the root of a version, in the bundle or published; nil if it is in neither.
func (f *folder) root(version int64) *rootMeta {
	for _, file := range f.files {
		if file.root != nil && file.version == version {
			return file.root
		}
	}
	for _, doc := range f.base.Roots() {
		if doc.Version == version {
			return doc.Meta
		}
	}
	return nil
}

// newestRoot is the root that the bundle leads to; nil if there is none.
func (f *folder) newestRoot() *rootMeta {
	newest := f.base.Root()
	for _, file := range f.files {
		if file.root != nil && (newest == nil || file.version > newest.Signed.Version) {
			newest = file.root
		}
	}
	return newest
}

// newestTargets is the targets file that the bundle leads to; nil if there is none.
func (f *folder) newestTargets() *targetsMeta {
	newest := f.base.Targets()
	for _, file := range f.files {
		if file.role == metadata.TARGETS && (newest == nil || file.version > newest.Signed.Version) {
			newest = file.targets
		}
	}
	return newest
}

// before is the published file that a targets or product draft follows; nil if it is the first.
func (f *folder) before(file *metaFile) *targetsMeta {
	old := f.base.Role(file.role)
	if file.role == metadata.TARGETS {
		old = f.base.Targets()
	}
	if old == nil || old.Signed.Version >= file.version {
		return nil
	}
	return old
}

// labels are all labels that the bundle and its base give to keys, the newest first heard.
func (f *folder) labels() map[string]string {
	all := map[string]string{}
	for _, doc := range f.base.Roots() {
		maps.Copy(all, owners(doc.Meta.Signed.UnrecognizedFields))
	}
	if t := f.base.Targets(); t != nil {
		maps.Copy(all, owners(t.Signed.UnrecognizedFields))
	}
	for _, file := range f.files {
		maps.Copy(all, file.owners())
	}
	return all
}

func (f *metaFile) owners() map[string]string {
	return owners(f.members())
}

// manifest reads the manifest that a target of the bundle pins. fs.ErrNotExist if the bundle does not carry it.
func (f *folder) manifest(target string, t *metadata.TargetFiles) (*firmware.Manifest, error) {
	product, version, err := firmware.ParseTargetPath(target)
	if err != nil {
		return nil, refusal{err}
	}
	name := "targets/" + target
	data, err := readFile(filepath.Join(f.dir, name), firmware.MaxManifest)
	if err != nil {
		return nil, err
	}
	if err := t.VerifyLengthHashes(data); err != nil {
		return nil, refuse("%s is not the manifest that the product's file pins: %w", name, err)
	}
	m, err := firmware.ParseManifest(data)
	if err != nil {
		return nil, refuse("%s: %w", name, err)
	}
	if m.Product != product || m.Version != version {
		return nil, refuse("%s is the manifest of %s %s: was it swapped?", name, m.Product, m.Version)
	}
	return m, nil
}
