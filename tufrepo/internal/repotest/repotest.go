// Package repotest makes keys, metadata and bundles for tests of the packages
// around the repository. It takes short ways that a release engineer has not:
// nothing is checked, so that a test can make what is wrong, too.
package repotest

import (
	"bytes"
	"context"
	"crypto"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Product is the product that Genesis delegates.
const Product = "base-unit"

// Hardware is what its releases are for.
const Hardware = "bu-1"

// Year is the life of metadata that engineers sign.
const Year = 365 * 24 * time.Hour

// People are the holders of keys: three for root of whom two must sign, one
// for targets, two for the product who must both sign, and the online keys.
type People struct {
	Root      []keyfile.Signer
	Targets   []keyfile.Signer
	Product   []keyfile.Signer
	Timestamp keyfile.Signer
	Snapshot  keyfile.Signer
}

// NewPeople makes everyone's keys. The online keys are those of a repository.
func NewPeople(t testing.TB, timestamp, snapshot crypto.Signer) *People {
	return &People{
		Root: Keys(t, 3), Targets: Keys(t, 1), Product: Keys(t, 2),
		Timestamp: Wrap(t, timestamp), Snapshot: Wrap(t, snapshot),
	}
}

// Keys makes n Ed25519 keys.
func Keys(t testing.TB, n int) []keyfile.Signer {
	t.Helper()
	all := make([]keyfile.Signer, n)
	for i := range all {
		all[i] = Wrap(t, Generate(t))
	}
	return all
}

// Generate makes an Ed25519 key.
func Generate(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Wrap makes a signer of a key.
func Wrap(t testing.TB, key crypto.Signer) keyfile.Signer {
	t.Helper()
	s, err := keyfile.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NewRoot is an unsigned root for these people.
func (p *People) NewRoot(version int64, now time.Time) *metadata.Metadata[metadata.RootType] {
	m := metadata.Root(bundle.Expiry(now, Year))
	m.Signed.Version = version
	m.Signed.Keys = map[string]*metadata.Key{}
	m.Signed.Roles = map[string]*metadata.Role{}
	SetRole(m, metadata.ROOT, 2, p.Root...)
	SetRole(m, metadata.TARGETS, 1, p.Targets...)
	SetRole(m, metadata.TIMESTAMP, 1, p.Timestamp)
	SetRole(m, metadata.SNAPSHOT, 1, p.Snapshot)
	return m
}

// SetRole gives a top-level role to signers.
func SetRole(m *metadata.Metadata[metadata.RootType], role string, threshold int, signers ...keyfile.Signer) {
	m.Signed.Roles[role] = &metadata.Role{KeyIDs: ids(signers), Threshold: threshold}
	for _, s := range signers {
		m.Signed.Keys[s.ID()] = s.TUFKey()
	}
}

func ids(signers []keyfile.Signer) []string {
	var all []string
	for _, s := range signers {
		all = append(all, s.ID())
	}
	return all
}

// NewTargets is an unsigned top-level targets role that delegates products,
// each to the product's people, both needed.
func (p *People) NewTargets(version int64, now time.Time, products ...string) *metadata.Metadata[metadata.TargetsType] {
	m := metadata.Targets(bundle.Expiry(now, Year))
	m.Signed.Version = version
	m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, product := range products {
		Delegate(m, product, len(p.Product), p.Product...)
	}
	return m
}

// Delegate gives a product to signers.
func Delegate(m *metadata.Metadata[metadata.TargetsType], product string, threshold int, signers ...keyfile.Signer) {
	d := m.Signed.Delegations
	d.Roles = append(d.Roles, metadata.DelegatedRole{
		Name: product, KeyIDs: ids(signers), Threshold: threshold, Terminating: true, Paths: []string{product + "/*"},
	})
	for _, s := range signers {
		d.Keys[s.ID()] = s.TUFKey()
	}
}

// NewProduct is an unsigned product role that lists the targets of old, if old
// is not nil, and the manifests.
func NewProduct(t testing.TB, version int64, now time.Time, old *metadata.Metadata[metadata.TargetsType], manifests ...[]byte) *metadata.Metadata[metadata.TargetsType] {
	t.Helper()
	m := metadata.Targets(bundle.Expiry(now, Year))
	m.Signed.Version = version
	if old != nil {
		maps.Copy(m.Signed.Targets, old.Signed.Targets)
	}
	for _, raw := range manifests {
		path, entry, err := bundle.Target(raw)
		if err != nil {
			t.Fatal(err)
		}
		m.Signed.Targets[path] = entry
	}
	return m
}

// Sign prints metadata with the signatures of all signers.
func Sign[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], signers ...keyfile.Signer) []byte {
	t.Helper()
	for _, s := range signers {
		if err := bundle.SignMetadata(m, s); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := bundle.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Put writes a file into a bundle or repository folder.
func Put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Genesis puts the first root and targets into a bundle.
func (p *People) Genesis(t testing.TB, dir string, now time.Time, products ...string) {
	t.Helper()
	Put(t, dir, "metadata/1.root.json", Sign(t, p.NewRoot(1, now), p.Root[:2]...))
	Put(t, dir, "metadata/1.targets.json", Sign(t, p.NewTargets(1, now, products...), p.Targets...))
}

// PutArtifact packs an image into a bundle's blobs and returns the manifest of
// a release of it, not yet put anywhere.
func PutArtifact(t testing.TB, dir, product, version string, counter int64, image []byte) *firmware.Manifest {
	t.Helper()
	a := encode(t, image)
	Put(t, dir, bundle.BlobName(a.Artifact.SHA256), a.bytes)
	return &firmware.Manifest{
		Schema: firmware.ManifestSchema, Product: product, Hardware: []string{Hardware}, Version: version, Counter: counter,
		Image: a.Image, Artifact: a.Artifact,
	}
}

// artifacts remembers what was encoded: tests pack the same few images again
// and again, and an encoder takes tens of MiB each time.
var artifacts sync.Map // firmware.Digest of the image -> artifact

type artifact struct {
	firmware.Encoded
	bytes []byte
}

func encode(t testing.TB, image []byte) artifact {
	t.Helper()
	if known, ok := artifacts.Load(firmware.Sum(image)); ok {
		return known.(artifact)
	}
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	encoded, err := firmware.Encode(context.Background(), &out, bytes.NewReader(image), int64(len(image)), spool, firmware.EncodeOptions{FrameSize: 64 << 10, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	a := artifact{encoded, out.Bytes()}
	artifacts.Store(firmware.Sum(image), a)
	return a
}

// PutPatch makes a patch from another image to that of a release, puts it into a bundle's blobs and enters it in the
// release's manifest, not yet put anywhere.
func PutPatch(t testing.TB, dir string, m *firmware.Manifest, base, image []byte) {
	t.Helper()
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	c, err := delta.Create(context.Background(), &out, base, image, spool, delta.Options{FrameSize: 64 << 10, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	Put(t, dir, bundle.BlobName(c.Patch.SHA256), out.Bytes())
	m.Patches = append(m.Patches, c.Patch)
}

// PutManifest prints a manifest into a bundle.
func PutManifest(t testing.TB, dir string, m *firmware.Manifest) []byte {
	t.Helper()
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	Put(t, dir, "targets/"+firmware.TargetPath(m.Product, m.Version), raw)
	return raw
}

// Release puts a whole signed release into a bundle, as the next version of
// the product's role after old (nil: the first), and returns the new role.
func (p *People) Release(t testing.TB, dir string, now time.Time, old *metadata.Metadata[metadata.TargetsType], product, version string, counter int64, image []byte) *metadata.Metadata[metadata.TargetsType] {
	t.Helper()
	raw := PutManifest(t, dir, PutArtifact(t, dir, product, version, counter, image))
	next := int64(1)
	if old != nil {
		next = old.Signed.Version + 1
	}
	role := NewProduct(t, next, now, old, raw)
	Put(t, dir, bundle.MetadataName(next, product), Sign(t, role, p.Product...))
	return role
}

// Image is a compressible image of n bytes that begins with tag, zeros in its
// middle.
func Image(tag string, n int) []byte {
	b := bytes.Repeat([]byte(tag+" the quick brown fox "), n/len(tag)+1)[:n]
	clear(b[n/3 : 2*n/3])
	return b
}

// Files lists the regular files below dir by slash-separated name, sorted.
func Files(t testing.TB, dir string) []string {
	t.Helper()
	all := Snapshot(t, dir)
	return slices.Sorted(maps.Keys(all))
}

// Snapshot reads all regular files below dir, by slash-separated name.
func Snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		rel, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
