package bundle_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type (
	rootMeta    = metadata.Metadata[metadata.RootType]
	targetsMeta = metadata.Metadata[metadata.TargetsType]
)

// world is a repository folder with release 1.0.0 (counter 5) published, and a
// bundle with 1.1.0 (counter 6) that follows it.
type world struct {
	*repotest.People
	t          *testing.T
	repo, dir  string
	old, role  *targetsMeta // product role published, and in the bundle
	pinnedRoot []byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, repo: t.TempDir(), dir: t.TempDir(),
		People: repotest.NewPeople(t, repotest.Generate(t), repotest.Generate(t)),
	}
	w.Genesis(t, w.repo, now, repotest.Product)
	w.old = w.Release(t, w.repo, now, nil, repotest.Product, "1.0.0", 5, repotest.Image("one", 300_000))
	w.publish(1, map[string]string{"targets": "metadata/1.targets.json", repotest.Product: "metadata/1.base-unit.json"})
	w.pinnedRoot = w.read(w.repo, "metadata/1.root.json")
	w.role = w.Release(t, w.dir, now, w.old, repotest.Product, "1.1.0", 6, repotest.Image("two", 300_000))
	return w
}

// clone is a copy of the same world that a test may spoil. Making one from
// scratch costs the compression of two images.
func (w *world) clone(t *testing.T) *world {
	t.Helper()
	c := &world{t: t, repo: w.repo, dir: filepath.Join(t.TempDir(), "bundle"), People: w.People, pinnedRoot: w.pinnedRoot}
	if err := os.CopyFS(c.dir, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	c.old = c.base().Role(repotest.Product)
	role, err := bundle.Parse[metadata.TargetsType](c.read(c.dir, roleFile))
	if err != nil {
		t.Fatal(err)
	}
	c.role = role
	return c
}

// publish makes the online half of a repository by hand, as small as it can be.
func (w *world) publish(version int64, files map[string]string) {
	w.t.Helper()
	snapshot := metadata.Snapshot(bundle.Expiry(now, time.Hour))
	snapshot.Signed.Version = version
	for role, name := range files {
		v, _, _ := bundle.ParseMetadataName(name)
		snapshot.Signed.Meta[role+".json"] = pin(v, w.read(w.repo, name))
	}
	raw := repotest.Sign(w.t, snapshot, w.Snapshot)
	repotest.Put(w.t, w.repo, bundle.MetadataName(version, "snapshot"), raw)
	timestamp := metadata.Timestamp(bundle.Expiry(now, time.Hour))
	timestamp.Signed.Version = version
	timestamp.Signed.Meta["snapshot.json"] = pin(version, raw)
	repotest.Put(w.t, w.repo, bundle.TimestampName, repotest.Sign(w.t, timestamp, w.Timestamp))
}

func pin(version int64, raw []byte) *metadata.MetaFiles {
	m := metadata.MetaFile(version)
	sum := firmware.Sum(raw)
	m.Length, m.Hashes = int64(len(raw)), metadata.Hashes{"sha256": sum[:]}
	return m
}

func (w *world) read(dir, name string) []byte {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

func (w *world) base() *bundle.Base {
	w.t.Helper()
	base, err := bundle.LoadBase(os.DirFS(w.repo), w.pinnedRoot)
	if err != nil {
		w.t.Fatal(err)
	}
	return base
}

func (w *world) check() (*bundle.Plan, error) {
	w.t.Helper()
	b, err := bundle.Open(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	b.Clock = func() time.Time { return now }
	return b.Check(w.base())
}

// putRole signs a role for the bundle in place of the one that is there.
func (w *world) putRole(m *targetsMeta, signers ...keyfile.Signer) {
	w.t.Helper()
	m.ClearSignatures()
	repotest.Put(w.t, w.dir, bundle.MetadataName(m.Signed.Version, repotest.Product), repotest.Sign(w.t, m, signers...))
}

// rerelease replaces the bundle's release by one of another manifest.
func (w *world) rerelease(m *firmware.Manifest) {
	w.t.Helper()
	raw := repotest.PutManifest(w.t, w.dir, m)
	w.putRole(repotest.NewProduct(w.t, 2, now, w.old, raw), w.Product...)
}

func (w *world) manifest() *firmware.Manifest {
	w.t.Helper()
	m, err := firmware.ParseManifest(w.read(w.dir, "targets/base-unit/1.1.0.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) artifact() string { return bundle.BlobName(w.manifest().Artifact.SHA256) }

func (w *world) edit(name, old, new string) {
	w.t.Helper()
	raw := w.read(w.dir, name)
	if !bytes.Contains(raw, []byte(old)) {
		w.t.Fatalf("%s has no %q to replace", name, old)
	}
	repotest.Put(w.t, w.dir, name, bytes.Replace(raw, []byte(old), []byte(new), 1))
}

const roleFile = "metadata/2.base-unit.json"

func TestGoodBundle(t *testing.T) {
	w := newWorld(t)
	plan, err := w.check()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range plan.Files() {
		names = append(names, f.Name)
	}
	m := w.manifest()
	raw, _ := m.Encode()
	want := []string{bundle.BlobName(m.Artifact.SHA256), bundle.ManifestName("base-unit/1.1.0.json", firmware.Sum(raw)), roleFile}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", names, want)
	}
	if got := plan.Meta["base-unit.json"]; got.Version != 2 || got.Length == 0 || len(got.Hashes["sha256"]) != 32 {
		t.Errorf("the snapshot would say %+v of the product", got)
	}
	if got := plan.Meta["targets.json"]; got == nil || got.Version != 1 {
		t.Errorf("the snapshot would say %+v of targets", got)
	}
	if len(plan.Releases) != 1 || plan.Releases[0].Counter != 6 {
		t.Errorf("releases %+v", plan.Releases)
	}
}

func TestGenesisBundle(t *testing.T) {
	w := newWorld(t)
	repo := w.repo
	w.repo, w.pinnedRoot = t.TempDir(), nil
	if _, err := w.check(); err == nil || !strings.Contains(err.Error(), "1.root.json") {
		t.Errorf("a first bundle without a root: %v", err)
	}
	w.dir = repo
	for _, name := range []string{"metadata/1.snapshot.json", "metadata/timestamp.json"} {
		if err := os.Remove(filepath.Join(repo, name)); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := w.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Roots) != 1 || len(plan.Targets) != 1 || len(plan.Products) != 1 || len(plan.Blobs) != 1 {
		t.Errorf("plan %+v", plan)
	}
	if err := os.Remove(filepath.Join(repo, "metadata/1.targets.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.check(); err == nil || !strings.Contains(err.Error(), "1.targets.json") {
		t.Errorf("a first bundle without targets: %v", err)
	}
}

func TestPublishedBundleIsNothingNew(t *testing.T) {
	w := newWorld(t)
	if err := os.CopyFS(w.repo, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	w.publish(2, map[string]string{"targets": "metadata/1.targets.json", repotest.Product: roleFile})
	plan, err := w.check()
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() {
		t.Errorf("plan %+v, want nothing", plan)
	}
}

func TestBadBundles(t *testing.T) {
	good := newWorld(t)
	for _, tc := range []struct {
		name string
		kind bundle.Kind
		say  string
		make func(w *world)
	}{
		{"one of two signatures", bundle.Unsigned, "signed by 1 of 2", func(w *world) { w.putRole(w.role, w.Product[0]) }},
		{"no signatures", bundle.Unsigned, "signed by 0 of 2", func(w *world) { w.putRole(w.role) }},
		{"foreign key in place of one", bundle.Refused, "no say", func(w *world) { w.putRole(w.role, w.Product[0], repotest.Keys(w.t, 1)[0]) }},
		{"foreign key besides", bundle.Refused, "no say", func(w *world) { w.putRole(w.role, append(repotest.Keys(w.t, 1), w.Product...)...) }},
		{"the online key signs a product", bundle.Refused, "no say", func(w *world) { w.putRole(w.role, w.Product[0], w.Timestamp) }},
		{"signature of other bytes", bundle.Refused, "does not verify", func(w *world) {
			other := repotest.Sign(w.t, repotest.NewProduct(w.t, 3, now, w.old), w.Product...)
			m, _ := bundle.Parse[metadata.TargetsType](other)
			w.role.Signatures = m.Signatures
			raw, _ := bundle.Encode(w.role)
			repotest.Put(w.t, w.dir, roleFile, raw)
		}},
		{"signature twice", bundle.Refused, "multiple signatures", func(w *world) {
			w.role.Signatures = append(w.role.Signatures, w.role.Signatures[0])
			raw, _ := w.role.ToBytes(false)
			repotest.Put(w.t, w.dir, roleFile, raw)
		}},
		{"version skipped", bundle.Conflict, "version 2 of base-unit comes next", func(w *world) {
			w.remove(roleFile)
			w.role.Signed.Version = 3
			w.putRole(w.role, w.Product...)
		}},
		{"version published by someone else", bundle.Conflict, "another file of this version", func(w *world) {
			w.remove(roleFile)
			w.role.Signed.Version = 1
			w.putRole(w.role, w.Product...)
		}},
		{"version in name and content differ", bundle.Refused, "holds version 3", func(w *world) {
			w.role.Signed.Version = 3
			w.role.ClearSignatures()
			repotest.Put(w.t, w.dir, roleFile, repotest.Sign(w.t, w.role, w.Product...))
		}},
		{"targets skipped", bundle.Conflict, "version 2 of targets comes next", func(w *world) {
			repotest.Put(w.t, w.dir, "metadata/3.targets.json", repotest.Sign(w.t, w.NewTargets(3, now, repotest.Product), w.Targets...))
		}},
		{"manifest altered", bundle.Refused, "was altered", func(w *world) { w.edit("targets/base-unit/1.1.0.json", `"bu-1"`, `"bu-2"`) }},
		{"manifest missing", bundle.Refused, "manifest is missing", func(w *world) { w.remove("targets/base-unit/1.1.0.json") }},
		{"manifest of nobody", bundle.Refused, "no product role names", func(w *world) {
			m := w.manifest()
			m.Version = "1.2.0"
			repotest.PutManifest(w.t, w.dir, m)
		}},
		{"blob altered at its end", bundle.Refused, "blob was altered", func(w *world) {
			raw := w.read(w.dir, w.artifact())
			raw[len(raw)-1] ^= 1
			repotest.Put(w.t, w.dir, w.artifact(), raw)
		}},
		{"blob cut short", bundle.Refused, "its manifest says", func(w *world) {
			raw := w.read(w.dir, w.artifact())
			repotest.Put(w.t, w.dir, w.artifact(), raw[:len(raw)-1])
		}},
		{"blob missing", bundle.Refused, "blob is missing", func(w *world) { w.remove(w.artifact()) }},
		{"blob of nobody", bundle.Refused, "no manifest of the bundle names", func(w *world) {
			repotest.Put(w.t, w.dir, bundle.BlobName(firmware.Sum([]byte("stowaway"))), []byte("stowaway"))
		}},
		{"artifact of another image", bundle.Refused, "head is for an image", func(w *world) {
			m := w.manifest()
			m.Image = firmware.Blob{Length: 299_999, SHA256: firmware.Sum([]byte("other"))}
			w.rerelease(m)
		}},
		{"artifact that is none", bundle.Refused, "the artifact's head", func(w *world) {
			w.remove(w.artifact())
			m := w.manifest()
			raw := bytes.Repeat([]byte("x"), 1000)
			m.Artifact.Blob = firmware.Blob{Length: 1000, SHA256: firmware.Sum(raw)}
			m.Artifact.Head = firmware.Blob{Length: 100, SHA256: firmware.Sum(raw[:100])}
			repotest.Put(w.t, w.dir, bundle.BlobName(m.Artifact.SHA256), raw)
			w.rerelease(m)
		}},
		{"counter not higher", bundle.Refused, "the highest published is 5", func(w *world) {
			m := w.manifest()
			m.Counter = 5
			delete(w.old.Signed.Targets, "base-unit/1.0.0.json")
			w.rerelease(m)
		}},
		{"counter twice", bundle.Refused, "same counter", func(w *world) {
			m := w.manifest()
			m.Counter = 5
			w.rerelease(m)
		}},
		{"published release changed", bundle.Refused, "published already and is another", func(w *world) {
			w.remove("targets/base-unit/1.1.0.json")
			m := w.manifestOf("one", "1.0.0", 6)
			w.rerelease(m)
		}},
		{"target of another product", bundle.Refused, "another product", func(w *world) {
			m := w.manifest()
			m.Product = "gateway"
			w.rerelease(m)
		}},
		{"product that nobody delegates", bundle.Refused, "delegates no product", func(w *world) {
			repotest.Put(w.t, w.dir, "metadata/1.gateway.json", repotest.Sign(w.t, repotest.NewProduct(w.t, 1, now, nil), w.Product...))
		}},
		{"no custom", bundle.Refused, "no custom", func(w *world) {
			w.role.Signed.Targets["base-unit/1.1.0.json"].Custom = nil
			w.putRole(w.role, w.Product...)
		}},
		{"custom with another counter", bundle.Refused, "says another product, version, counter", func(w *world) {
			raw := json.RawMessage(`{"counter":7,"hardware":["bu-1"],"product":"base-unit","version":"1.1.0"}`)
			w.role.Signed.Targets["base-unit/1.1.0.json"].Custom = &raw
			w.putRole(w.role, w.Product...)
		}},
		{"sha512 as well", bundle.Refused, "exactly one hash", func(w *world) {
			w.role.Signed.Targets["base-unit/1.1.0.json"].Hashes["sha512"] = make([]byte, 64)
			w.putRole(w.role, w.Product...)
		}},
		{"nanoseconds in the expiry", bundle.Refused, "whole second", func(w *world) {
			w.role.Signed.Expires = w.role.Signed.Expires.Add(1)
			w.putRole(w.role, w.Product...)
		}},
		{"expired", bundle.Refused, "expired on", func(w *world) {
			w.role.Signed.Expires = now
			w.putRole(w.role, w.Product...)
		}},
		{"specification 2", bundle.Refused, "not 1.x", func(w *world) {
			w.role.Signed.SpecVersion = "2.0.0"
			w.putRole(w.role, w.Product...)
		}},
		{"member that nothing signs", bundle.Refused, "no signature covers", func(w *world) {
			w.edit(roleFile, `{"signatures":`, `{"extra":1,"signatures":`)
		}},
		{"member twice", bundle.Refused, "one name, two values", func(w *world) { w.edit(roleFile, `"version":2`, `"version":2,"version":2`) }},
		{"null target", bundle.Refused, "null", func(w *world) {
			repotest.Put(w.t, w.dir, roleFile, []byte(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
		}},
		{"not JSON", bundle.Refused, "JSON", func(w *world) { repotest.Put(w.t, w.dir, roleFile, []byte("\x00\x01")) }},
		{"empty file", bundle.Refused, "JSON", func(w *world) { repotest.Put(w.t, w.dir, roleFile, nil) }},
		{"huge metadata", bundle.Refused, "may have", func(w *world) {
			repotest.Put(w.t, w.dir, roleFile, nil)
			if err := os.Truncate(filepath.Join(w.dir, roleFile), 1<<40); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"huge manifest", bundle.Refused, "may have", func(w *world) {
			if err := os.Truncate(filepath.Join(w.dir, "targets/base-unit/1.1.0.json"), 1<<40); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"timestamp rides along", bundle.Refused, "nothing of that name", func(w *world) { repotest.Put(w.t, w.dir, bundle.TimestampName, []byte("{}")) }},
		{"snapshot rides along", bundle.Refused, "its own snapshot", func(w *world) { repotest.Put(w.t, w.dir, "metadata/9.snapshot.json", []byte("{}")) }},
		{"stray file", bundle.Refused, "nothing of that name", func(w *world) { repotest.Put(w.t, w.dir, "README", nil) }},
		{"link in place of a blob", bundle.Refused, "not a regular file", func(w *world) {
			name := w.artifact()
			repotest.Put(w.t, w.dir, "real", w.read(w.dir, name))
			w.remove(name)
			if err := os.Symlink("../real", filepath.Join(w.dir, name)); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"pipe in place of metadata", bundle.Refused, "not a regular file", func(w *world) {
			w.remove(roleFile)
			if err := syscall.Mkfifo(filepath.Join(w.dir, roleFile), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := good.clone(t)
			tc.make(w)
			requireProblem(t, w, tc.kind, tc.say)
		})
	}
}

func requireProblem(t *testing.T, w *world, kind bundle.Kind, say string) {
	t.Helper()
	plan, err := w.check()
	problems, ok := bundle.AsProblems(err)
	if !ok {
		t.Fatalf("plan %v, error %v, want problems", plan, err)
	}
	if problems.Kind() != kind {
		t.Errorf("kind %s, want %s:\n%v", problems.Kind(), kind, err)
	}
	if !strings.Contains(err.Error(), say) {
		t.Errorf("it does not say %q:\n%v", say, err)
	}
	for _, p := range problems {
		if p.Do == "" {
			t.Errorf("no hint what to do about: %s", p.What)
		}
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) manifestOf(tag, version string, counter int64) *firmware.Manifest {
	w.t.Helper()
	return repotest.PutArtifact(w.t, w.dir, repotest.Product, version, counter, repotest.Image(tag+"!", 100_000))
}

func TestBadTargets(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	weak, _ := metadata.KeyFromPublicKey(p384.Public())
	weakID, _ := weak.ID()
	good := newWorld(t)
	for _, tc := range []struct {
		name, say string
		make      func(m *targetsMeta)
	}{
		{"threshold 0", "threshold of base-unit is 0", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Threshold = 0 }},
		{"threshold above the keys", "threshold of base-unit is 3", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Threshold = 3 }},
		{"more keys than a device takes", "33 keys", func(m *targetsMeta) {
			d := m.Signed.Delegations
			d.Roles, d.Keys = nil, map[string]*metadata.Key{}
			repotest.Delegate(m, repotest.Product, 1, repotest.Keys(t, 33)...)
		}},
		{"one key twice", "listed twice", func(m *targetsMeta) {
			r := &m.Signed.Delegations.Roles[0]
			r.KeyIDs[1] = r.KeyIDs[0]
		}},
		{"paths of everything", "covers", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Paths = []string{"*/*"} }},
		{"paths of another product", "covers", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Paths = []string{"gateway/*"} }},
		{"not terminating", "not terminating", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Terminating = false }},
		{"product named timestamp", "belongs to a TUF role", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Name = "timestamp" }},
		{"product named ../x", "delegation", func(m *targetsMeta) { m.Signed.Delegations.Roles[0].Name = "../x" }},
		{"product twice", "delegated twice", func(m *targetsMeta) {
			m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles, m.Signed.Delegations.Roles[0])
		}},
		{"target of its own", "targets of its own", func(m *targetsMeta) {
			m.Signed.Targets["base-unit/9.json"] = &metadata.TargetFiles{Length: 1, Hashes: metadata.Hashes{"sha256": make([]byte, 32)}}
		}},
		{"P-384 key", "P-256", func(m *targetsMeta) {
			m.Signed.Delegations.Keys[weakID] = weak
			r := &m.Signed.Delegations.Roles[0]
			r.KeyIDs = append(r.KeyIDs, weakID)
		}},
		{"key under another id", "wrong id", func(m *targetsMeta) {
			r := &m.Signed.Delegations.Roles[0]
			id := strings.Repeat("ab", 32)
			m.Signed.Delegations.Keys[id] = m.Signed.Delegations.Keys[r.KeyIDs[0]]
			r.KeyIDs = append(r.KeyIDs, id)
		}},
		{"succinct roles", "succinct", func(m *targetsMeta) {
			d := m.Signed.Delegations
			d.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: d.Roles[0].KeyIDs, Threshold: 1, BitLength: 1, NamePrefix: "bin"}
			d.Roles = nil
		}},
		{"product given to other keys", "gives it to other keys", func(m *targetsMeta) {
			m.Signed.Delegations.Roles, m.Signed.Delegations.Keys = nil, map[string]*metadata.Key{}
			repotest.Delegate(m, repotest.Product, 1, repotest.Keys(t, 1)...)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := good.clone(t)
			w.dir = t.TempDir()
			m := w.NewTargets(2, now, repotest.Product)
			tc.make(m)
			repotest.Put(t, w.dir, "metadata/2.targets.json", repotest.Sign(t, m, w.Targets...))
			requireProblem(t, w, bundle.Refused, tc.say)
		})
	}
}

func TestRoots(t *testing.T) {
	w := newWorld(t)
	stranger := repotest.Keys(t, 2)
	for _, tc := range []struct {
		name string
		kind bundle.Kind // "" if it is good
		say  string
		make func(m *rootMeta) []keyfile.Signer
	}{
		{"same people", "", "", func(m *rootMeta) []keyfile.Signer { return w.Root[1:] }},
		{"new people, signed by old and new", "", "", func(m *rootMeta) []keyfile.Signer {
			repotest.SetRole(m, metadata.ROOT, 2, stranger...)
			drop(m, w.Root...)
			return append(stranger, w.Root[:2]...)
		}},
		{"only by the new", bundle.Unsigned, "as root 1 says", func(m *rootMeta) []keyfile.Signer {
			repotest.SetRole(m, metadata.ROOT, 2, stranger...)
			drop(m, w.Root...)
			return stranger
		}},
		{"only by the old", bundle.Unsigned, "as root 2 says", func(m *rootMeta) []keyfile.Signer {
			repotest.SetRole(m, metadata.ROOT, 2, stranger...)
			drop(m, w.Root...)
			return w.Root[:2]
		}},
		{"root 3 after root 1", bundle.Conflict, "version 2 of root comes next", func(m *rootMeta) []keyfile.Signer {
			m.Signed.Version = 3
			return w.Root[:2]
		}},
		{"another root 1", bundle.Conflict, "another file of this version", func(m *rootMeta) []keyfile.Signer {
			m.Signed.Version = 1
			return w.Root[1:]
		}},
		{"no consistent snapshots", bundle.Refused, "consistent_snapshot", func(m *rootMeta) []keyfile.Signer {
			m.Signed.ConsistentSnapshot = false
			return w.Root[:2]
		}},
		{"mirrors role", bundle.Refused, "instead of root, snapshot", func(m *rootMeta) []keyfile.Signer {
			repotest.SetRole(m, "mirrors", 1, w.Targets...)
			return w.Root[:2]
		}},
		{"key of nobody", bundle.Refused, "no role uses it", func(m *rootMeta) []keyfile.Signer {
			m.Signed.Keys[stranger[0].ID()] = stranger[0].TUFKey()
			return w.Root[:2]
		}},
		{"expired", bundle.Refused, "expired on", func(m *rootMeta) []keyfile.Signer {
			m.Signed.Expires = now.Add(-time.Second)
			return w.Root[:2]
		}},
		{"targets given to other keys alone", bundle.Refused, "gives targets to other keys", func(m *rootMeta) []keyfile.Signer {
			repotest.SetRole(m, metadata.TARGETS, 1, stranger[0])
			drop(m, w.Targets...)
			return w.Root[:2]
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := w.clone(t)
			w.dir = t.TempDir()
			m := w.NewRoot(2, now)
			signers := tc.make(m)
			repotest.Put(t, w.dir, bundle.MetadataName(m.Signed.Version, metadata.ROOT), repotest.Sign(t, m, signers...))
			if tc.kind != "" {
				requireProblem(t, w, tc.kind, tc.say)
			} else if plan, err := w.check(); err != nil || len(plan.Roots) != 1 || len(plan.Chain) != 2 {
				t.Errorf("plan %+v, error %v", plan, err)
			}
		})
	}
}

func drop(m *rootMeta, signers ...keyfile.Signer) {
	for _, s := range signers {
		delete(m.Signed.Keys, s.ID())
	}
}

// Intermediate roots may have expired: a device that was off for years walks
// over them.
func TestExpiredIntermediateRoot(t *testing.T) {
	w := newWorld(t)
	w.dir = t.TempDir()
	second := w.NewRoot(2, now)
	second.Signed.Expires = now.Add(-time.Hour)
	repotest.Put(t, w.dir, "metadata/2.root.json", repotest.Sign(t, second, w.Root[:2]...))
	repotest.Put(t, w.dir, "metadata/3.root.json", repotest.Sign(t, w.NewRoot(3, now), w.Root[1:]...))
	plan, err := w.check()
	if err != nil || len(plan.Roots) != 2 {
		t.Fatalf("plan %+v, error %v", plan, err)
	}
}
