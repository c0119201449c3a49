package bundle

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// BaseDir is the folder of a bundle in which the published metadata that its
// drafts follow travels with it, so that signers without the repository see
// what changes. It is never published, and Open passes over it.
const BaseDir = "base"

// More than any bundle needs: they bound what Open holds in memory.
const (
	maxFiles = 10_000
	maxSmall = 64 << 20 // bytes of metadata and manifests
)

// Bundle is a bundle's folder, listed and with its small files read, and not
// yet judged. What Check sees is what Open read: a file that changes afterwards
// changes nothing, and blobs are compared with their hash when they are copied.
type Bundle struct {
	// Clock tells the time that metadata must outlive; nil means time.Now.
	Clock func() time.Time

	dir       string
	fsys      fs.FS
	metadata  map[string][]byte
	manifests map[string][]byte // by target path
	policy    []byte            // nil: none
	blobs     map[firmware.Digest]int64
	held      int64
	strange   Problems
}

// Open reads the bundle in dir. Files that do not belong are found by Check;
// the error is about a folder that cannot be read.
func Open(dir string) (*Bundle, error) {
	root, err := os.OpenRoot(dir) // no link leads out; closed with the last reference
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	b := &Bundle{
		dir: dir, fsys: root.FS(),
		metadata: map[string][]byte{}, manifests: map[string][]byte{}, blobs: map[firmware.Digest]int64{},
	}
	files := 0
	err = fs.WalkDir(b.fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if files++; files > maxFiles {
			return fmt.Errorf("more than %d files: this is not a bundle", maxFiles)
		}
		if err == nil && e.IsDir() && name == BaseDir {
			return fs.SkipDir
		}
		if err != nil || e.IsDir() {
			return err
		}
		return b.add(name, e)
	})
	if err != nil {
		return nil, fmt.Errorf("reading bundle %s: %w", dir, err)
	}
	return b, nil
}

// add takes one file in. A link could point anywhere, and a FIFO block a
// reader: only regular files are opened.
func (b *Bundle) add(name string, e fs.DirEntry) error {
	if !e.Type().IsRegular() {
		b.odd(name, "it is not a regular file", "put the file itself in its place")
		return nil
	}
	version, role, isMetadata := ParseMetadataName(name)
	target, isTarget := strings.CutPrefix(name, "targets/")
	digest, isBlob := ParseBlobName(name)
	switch {
	case name == policyFile:
		raw, err := b.small(name, tlog.MaxPolicy)
		b.policy = raw
		return err
	case isMetadata && role == metadata.SNAPSHOT:
		b.odd(name, "the repository makes its own snapshot", doRemove)
	case isMetadata:
		return b.addMetadata(name, version, role)
	case isTarget:
		return b.addManifest(name, target)
	case isBlob:
		info, err := e.Info()
		if err != nil {
			return err
		}
		b.blobs[digest] = info.Size()
	default:
		b.odd(name, "nothing of that name belongs in a bundle", doRemove)
	}
	return nil
}

func (b *Bundle) addMetadata(name string, version int64, role string) error {
	limit := MaxTargets
	if role == metadata.ROOT {
		limit = MaxRoot
	}
	raw, err := b.small(name, limit)
	if err != nil || raw == nil {
		return err
	}
	b.metadata[name] = raw
	return nil
}

func (b *Bundle) addManifest(name, target string) error {
	if _, _, err := firmware.ParseTargetPath(target); err != nil {
		b.odd(name, err.Error(), doRemove)
		return nil
	}
	raw, err := b.small(name, firmware.MaxManifest)
	if err != nil || raw == nil {
		return err
	}
	b.manifests[target] = raw
	return nil
}

// small reads a file, or notes that it is too large and returns nil.
func (b *Bundle) small(name string, limit int) ([]byte, error) {
	st, err := fs.Stat(b.fsys, name)
	if err != nil {
		return nil, err
	}
	if st.Size() > int64(limit) {
		b.odd(name, fmt.Sprintf("%d bytes are more than the %d that such a file may have", st.Size(), limit), doRemake)
		return nil, nil
	}
	if b.held += st.Size(); b.held > maxSmall {
		return nil, fmt.Errorf("more than %d bytes of metadata and manifests: this is not a bundle", maxSmall)
	}
	return readFile(b.fsys, name, limit)
}

func (b *Bundle) odd(name, what, do string) {
	b.strange = append(b.strange, &Problem{Kind: Refused, File: name, What: what, Do: do})
}

// Blob opens a blob of the bundle. Its content was not looked at: CopyBlob
// compares it.
func (b *Bundle) Blob(d firmware.Digest) (fs.File, error) { return b.fsys.Open(BlobName(d)) }

// Dir is the folder.
func (b *Bundle) Dir() string { return b.dir }

// MetadataNames lists the metadata files of a role (root, targets or a
// product), or of all roles if role is empty, by rising version.
func (b *Bundle) MetadataNames(role string) []string {
	var names []string
	for name := range b.metadata {
		if _, r, _ := ParseMetadataName(name); role == "" || r == role {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, byVersion)
	return names
}

func byVersion(a, b string) int {
	va, ra, _ := ParseMetadataName(a)
	vb, rb, _ := ParseMetadataName(b)
	if ra != rb {
		return strings.Compare(ra, rb)
	}
	return int(va - vb)
}

// Metadata is the content of a name of MetadataNames, nil for other names.
// Callers do not change it.
func (b *Bundle) Metadata(name string) []byte { return b.metadata[name] }

// Manifests lists the target paths of the manifests, sorted.
func (b *Bundle) Manifests() []string { return slices.Sorted(maps.Keys(b.manifests)) }

// Manifest is the content of a target of Manifests, nil for other paths.
func (b *Bundle) Manifest(target string) []byte { return b.manifests[target] }

// Policy is the log policy, nil if the bundle has none.
func (b *Bundle) Policy() []byte { return b.policy }

// Blobs lists the blobs with their lengths. Their content was not looked at.
func (b *Bundle) Blobs() []firmware.Blob {
	var all []firmware.Blob
	for d, n := range b.blobs {
		all = append(all, firmware.Blob{Length: n, SHA256: d})
	}
	slices.SortFunc(all, func(x, y firmware.Blob) int { return strings.Compare(x.SHA256.String(), y.SHA256.String()) })
	return all
}

func (b *Bundle) products() []string {
	found := map[string]bool{}
	for name := range b.metadata {
		if _, role, _ := ParseMetadataName(name); role != metadata.ROOT && role != metadata.TARGETS {
			found[role] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (b *Bundle) now() time.Time {
	if b.Clock == nil {
		return time.Now()
	}
	return b.Clock()
}

// policyFile is the log policy in a bundle.
const policyFile = "targets/" + tlog.PolicyPath

func bundleManifestName(target string) string { return path.Join("targets", target) }
