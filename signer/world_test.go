package signer

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// start is when the world of these tests begins.
var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// world is a folder with keys, and a published repository made by hand, so that any state can be set up at any time.
type world struct {
	t      *testing.T
	dir    string
	keys   map[string]keyfile.Signer
	secret map[string]crypto.Signer
}

func newWorld(t *testing.T, people ...string) *world {
	w := &world{t: t, dir: t.TempDir(), keys: map[string]keyfile.Signer{}, secret: map[string]crypto.Signer{}}
	for _, name := range append(people, "online") {
		key := must(keyfile.Generate(keyfile.Ed25519))(t)
		check(t, keyfile.SavePublic(w.path(name+".pub"), key.Public()))
		w.secret[name], w.keys[name] = key, must(keyfile.NewSigner(key))(t)
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) public(names ...string) []Public {
	var keys []Public
	for _, name := range names {
		keys = append(keys, must(LoadPublic(w.path(name+".pub")))(w.t))
	}
	return keys
}

// roles: root by alice, bob and carol, targets by alice.
func (w *world) roles(threshold int) map[string]Keys {
	return map[string]Keys{
		metadata.ROOT:      {w.public("alice", "bob", "carol"), threshold},
		metadata.TARGETS:   {w.public("alice"), 1},
		metadata.SNAPSHOT:  {w.public("online"), 1},
		metadata.TIMESTAMP: {w.public("online"), 1},
	}
}

// publish makes the repository "repo": a root, a targets file with the product cam by dora, and releases of it.
func (w *world) publish(now time.Time, releases ...int64) *Base {
	t := w.t
	must(NewRoot(context.Background(), NewRootOptions{Out: w.path("first"), Roles: w.roles(2), Lifetime: year, Now: now}))(t)
	must(AddProduct(context.Background(), ProductOptions{Bundle: w.path("first"), Product: "cam", Lifetime: year, Now: now},
		Keys{w.public("dora"), 1}))(t)
	for _, name := range []string{"alice", "bob"} {
		w.sign("first", name, now)
	}
	check(t, os.CopyFS(w.path("repo"), os.DirFS(w.path("first"))))
	role := metadata.Targets()
	stamp(&role.Signed.UnrecognizedFields, &role.Signed.Expires, now, year)
	for _, counter := range releases {
		path, entry := release(t, counter)
		role.Signed.Targets[path] = entry
	}
	snapshot, timestamp := metadata.Snapshot(bundle.Expiry(now, year)), metadata.Timestamp(bundle.Expiry(now, year))
	snapshot.Signed.Meta["targets.json"] = metaOf(must(os.ReadFile(w.path("repo/metadata/1.targets.json")))(t))
	if len(releases) > 0 {
		snapshot.Signed.Meta["cam.json"] = metaOf(put(w, "1.cam", role, "dora"))
	}
	timestamp.Signed.Meta["snapshot.json"] = metaOf(put(w, "1.snapshot", snapshot, "online"))
	timestamp.Signed.UnrecognizedFields = map[string]any{issuedMember: now.Format(time.RFC3339)}
	put(w, "timestamp", timestamp, "online")
	return w.base()
}

func (w *world) base() *Base { return must(ReadBase(w.path("repo"), ""))(w.t) }

func (w *world) sign(dir, name string, now time.Time) *Signing {
	s := must(PrepareSigning(SignOptions{Bundle: w.path(dir), Key: w.keys[name], Now: now, TrustClock: true}))(w.t)
	check(w.t, s.Sign())
	return s
}

func put[T metadata.Roles](w *world, name string, m *metadata.Metadata[T], by string) []byte {
	check(w.t, bundle.SignMetadata(m, w.keys[by]))
	data := must(bundle.Encode(m))(w.t)
	check(w.t, os.WriteFile(w.path("repo/metadata/"+name+".json"), data, 0o644))
	return data
}

func metaOf(data []byte) *metadata.MetaFiles {
	sum := firmware.Sum(data)
	return &metadata.MetaFiles{Version: 1, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// release is the entry of version "0.<counter>.0".
func release(t *testing.T, counter int64) (string, *metadata.TargetFiles) {
	head := firmware.Blob{Length: 32, SHA256: firmware.Sum([]byte("head"))}
	m := firmware.Manifest{Schema: 1, Product: "cam", Hardware: []string{"rev-b"}, Version: fmt.Sprintf("0.%d.0", counter), Counter: counter,
		Image: firmware.Blob{SHA256: firmware.Sum(nil)}, Artifact: firmware.Framed{Blob: head, Head: head}}
	path, entry, err := bundle.Target(must(m.Encode())(t))
	check(t, err)
	return path, entry
}

// image writes an image of n bytes of text.
func (w *world) image(name string, n int) string {
	check(w.t, os.WriteFile(w.path(name), []byte(strings.Repeat("fairlead", n/8+1)[:n]), 0o644))
	return w.path(name)
}

func (w *world) releaseOptions(base *Base, now time.Time) ReleaseOptions {
	return ReleaseOptions{Out: w.path("out"), Base: base, Product: "cam", Version: "1.0.0", Hardware: []string{"rev-b"},
		Image: w.image("image", 100_000), Lifetime: year, Now: now}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}
