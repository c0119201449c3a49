package tufrepo

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// world is a repository and the people around it.
type world struct {
	*repotest.People
	t    *testing.T
	repo *Repo
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: start}
	repo, err := Init(filepath.Join(t.TempDir(), "repo"), InitOptions{Options: Options{Clock: func() time.Time { return w.now }}})
	if err != nil {
		t.Fatal(err)
	}
	w.repo = repo
	w.People = repotest.NewPeople(t, w.onlineKey("timestamp"), w.onlineKey("snapshot"))
	return w
}

func (w *world) onlineKey(name string) crypto.Signer {
	w.t.Helper()
	key, err := keyfile.Load(w.repo.path("state/keys/"+name+".key"), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// genesis is the first bundle: root, targets, and release 1.0.0.
func (w *world) genesis() string {
	w.t.Helper()
	dir := w.t.TempDir()
	w.Genesis(w.t, dir, w.now, repotest.Product)
	w.Release(w.t, dir, w.now, nil, repotest.Product, "1.0.0", 1, repotest.Image("one", 200_000))
	return dir
}

// release is a bundle with the next release.
func (w *world) release(version string, counter int64) string {
	w.t.Helper()
	dir := w.t.TempDir()
	w.Release(w.t, dir, w.now, w.base().Role(repotest.Product), repotest.Product, version, counter, repotest.Image("v"+version, 200_000))
	return dir
}

func (w *world) publish(dir string) Published {
	w.t.Helper()
	p, err := w.repo.Publish(context.Background(), dir, PublishOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) renew() Renewed {
	w.t.Helper()
	done, err := w.repo.Renew(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

func (w *world) base() *bundle.Base {
	w.t.Helper()
	fsys, err := w.repo.FS()
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := bundle.LoadOwn(fsys)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// device is a real client that remembers what it has seen, in memory.
func (w *world) device() *client.Client {
	w.t.Helper()
	root, err := os.ReadFile(w.repo.path("metadata/1.root.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.deviceWith(root)
}

func (w *world) deviceWith(root []byte) *client.Client {
	w.t.Helper()
	c, err := client.Open(client.Config{
		Root: root, Source: client.FSSource(os.DirFS(w.repo.dir)), Clock: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// sees refreshes a device and lists the releases that it can resolve, each with
// its manifest fetched, and every blob there.
func (w *world) sees(c *client.Client) ([]string, error) {
	ctx := context.Background()
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	targets, err := c.Targets(ctx, repotest.Product)
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, target := range targets {
		m, err := c.Manifest(ctx, target)
		if err != nil {
			return nil, err
		}
		for _, b := range m.Blobs() {
			if st, err := os.Stat(w.repo.path(bundle.BlobName(b.SHA256))); err != nil || st.Size() != b.Length {
				return nil, errors.New("a blob is missing")
			}
		}
		versions = append(versions, m.Version)
	}
	return versions, nil
}

func (w *world) mustSee(c *client.Client, want ...string) {
	w.t.Helper()
	got, err := w.sees(c)
	if err != nil {
		w.t.Fatalf("a device fails: %v", err)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("a device sees %q, want %q", got, want)
	}
}

func TestInit(t *testing.T) {
	w := newWorld(t)
	if _, err := Init(w.repo.dir, InitOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Init: %v, want fs.ErrExist", err)
	}
	for name, want := range map[string]fs.FileMode{".": 0o755, "metadata": 0o755, "state": 0o700, "state/keys": 0o700, "state/keys/timestamp.key": 0o600} {
		if st, err := os.Stat(w.repo.path(name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: error %v, mode other than %v", name, err, want)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "fairlead-repo init") {
		t.Errorf("opening an empty folder: %v", err)
	}
	if _, err := w.repo.Renew(context.Background()); !errors.Is(err, ErrUnpublished) {
		t.Errorf("renewing an empty repository: %v, want ErrUnpublished", err)
	}
	if s, err := w.repo.Status(); err != nil || s.Published || len(s.Keys) != 2 {
		t.Errorf("status %+v, error %v", s, err)
	}
}

func TestInitAfterACrash(t *testing.T) {
	w := newWorld(t)
	keys := repotest.Snapshot(t, w.repo.path("state/keys"))
	for _, name := range []string{configName, "state/keys/snapshot.pub"} {
		if err := os.Remove(w.repo.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Init(w.repo.dir, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := repotest.Snapshot(t, w.repo.path("state/keys")); !maps.Equal(keys, again) {
		t.Error("keys changed")
	}
}

func TestPublishAndSee(t *testing.T) {
	w := newWorld(t)
	p := w.publish(w.genesis())
	if p.Root != 1 || p.Timestamp != 1 || p.Snapshot != 1 || p.Blobs != 1 || len(p.Releases) != 1 || p.Nothing {
		t.Errorf("published %+v", p)
	}
	device := w.device()
	w.mustSee(device, "1.0.0")
	dir := w.release("1.1.0", 2)
	if p := w.publish(dir); p.Timestamp != 2 || p.Products[repotest.Product] != 2 {
		t.Errorf("published %+v", p)
	}
	w.mustSee(device, "1.0.0", "1.1.0")
	before := repotest.Snapshot(t, w.repo.dir)
	if p := w.publish(dir); !p.Nothing || p.Timestamp != 2 {
		t.Errorf("published again: %+v, want nothing new", p)
	}
	if after := repotest.Snapshot(t, w.repo.dir); !maps.Equal(before, after) {
		t.Error("publishing again changed files")
	}
}

func TestPublishConflict(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	mine, theirs := w.release("1.1.0", 2), w.release("1.2.0", 3)
	w.publish(theirs)
	before := repotest.Snapshot(t, w.repo.dir)
	_, err := w.repo.Publish(context.Background(), mine, PublishOptions{})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "build the bundle again") {
		t.Errorf("got %v, want ErrConflict and what to do", err)
	}
	if after := repotest.Snapshot(t, w.repo.dir); !maps.Equal(before, after) {
		t.Error("a refused bundle changed files")
	}
}

func TestPublishRefused(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := w.release("1.1.0", 2)
	repotest.Put(t, dir, "metadata/stray", nil)
	_, err := w.repo.Publish(context.Background(), dir, PublishOptions{})
	if problems, ok := bundle.AsProblems(err); !errors.Is(err, ErrRefused) || !ok || len(problems) != 1 {
		t.Errorf("got %v, want ErrRefused with one problem", err)
	}
}

// Blobs are compared while they are copied, because Plan does not read them.
func TestPublishAlteredBlob(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := w.release("1.1.0", 2)
	blobs := repotest.Files(t, filepath.Join(dir, "blobs"))
	raw, _ := os.ReadFile(filepath.Join(dir, "blobs", blobs[0]))
	raw[len(raw)-1] ^= 1
	repotest.Put(t, dir, "blobs/"+blobs[0], raw)
	before := repotest.Snapshot(t, w.repo.dir)
	if _, err := w.repo.Publish(context.Background(), dir, PublishOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if after := repotest.Snapshot(t, w.repo.dir); !maps.Equal(before, after) {
		t.Error("an altered blob left files")
	}
}

func TestDamagedBlobIsRepaired(t *testing.T) {
	w := newWorld(t)
	dir := w.genesis()
	w.publish(dir)
	name := "blobs/" + repotest.Files(t, w.repo.path("blobs"))[0]
	good, _ := os.ReadFile(w.repo.path(name))
	bad := slices.Clone(good)
	bad[len(bad)-1] ^= 1
	repotest.Put(t, w.repo.dir, name, bad)
	if p := w.publish(dir); !p.Nothing || p.Blobs != 1 {
		t.Errorf("published %+v, want one blob repaired", p)
	}
	if again, _ := os.ReadFile(w.repo.path(name)); !slices.Equal(again, good) {
		t.Error("the blob is still damaged")
	}
}

func TestProgressAndCancel(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	var last, total int64
	_, err := w.repo.Publish(ctx, w.genesis(), PublishOptions{Progress: func(done, all int64) {
		last, total = done, all
		cancel()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if last < 1 || last > total {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	if _, err := os.Stat(w.repo.path(bundle.TimestampName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a cancelled publish was published")
	}
}

func TestTwoPublishers(t *testing.T) {
	w := newWorld(t)
	dir := w.genesis()
	held, release := make(chan struct{}), make(chan struct{})
	slow := *w.repo
	slow.around = func(moment, name string) error {
		if moment == "before" && name == "metadata/1.targets.json" {
			close(held)
			<-release
		}
		return nil
	}
	done := make(chan error)
	go func() {
		_, err := slow.Publish(context.Background(), dir, PublishOptions{})
		done <- err
	}()
	<-held
	_, err := w.repo.Publish(context.Background(), dir, PublishOptions{})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "process") {
		t.Errorf("got %v, want ErrBusy naming the holder", err)
	}
	if _, err := w.repo.Renew(context.Background()); !errors.Is(err, ErrBusy) {
		t.Errorf("renew: got %v, want ErrBusy", err)
	}
	if _, err := w.repo.Collect(context.Background(), 0); !errors.Is(err, ErrBusy) {
		t.Errorf("collect: got %v, want ErrBusy", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.mustSee(w.device(), "1.0.0")
}

func TestSnapshotPinsEverything(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	b := w.base()
	for role, pin := range b.Snapshot().Meta.Signed.Meta {
		if pin.Length == 0 || len(pin.Hashes) != 1 || len(pin.Hashes["sha256"]) != 32 {
			t.Errorf("snapshot says %+v of %s", pin, role)
		}
	}
	pin := b.Timestamp().Meta.Signed.Meta["snapshot.json"]
	if pin.Length == 0 || len(pin.Hashes["sha256"]) != 32 {
		t.Errorf("timestamp says %+v of the snapshot", pin)
	}
	if got := b.Timestamp().Meta.Signed.UnrecognizedFields[issuedField]; got != "2026-11-22T08:00:00Z" {
		t.Errorf("issued %v", got)
	}
	if n := len(b.Timestamp().Bytes); n > 600 {
		t.Errorf("the timestamp has %d bytes", n)
	}
}

// A product that is not delegated any more stays in the snapshot, or clients
// would refuse it as a rollback.
func TestDroppedProduct(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	device := w.device()
	w.mustSee(device, "1.0.0")
	dir := t.TempDir()
	m := w.NewTargets(2, w.now)
	repotest.Put(t, dir, "metadata/2.targets.json", repotest.Sign(t, m, w.Targets...))
	w.publish(dir)
	if err := device.Refresh(context.Background()); err != nil {
		t.Errorf("a device that knew the product: %v", err)
	}
	again := t.TempDir()
	back := w.NewTargets(3, w.now, repotest.Product)
	repotest.Put(t, again, "metadata/3.targets.json", repotest.Sign(t, back, w.Targets...))
	if _, err := w.repo.Publish(context.Background(), again, PublishOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("coming back without a new version of the role: %v, want ErrRefused", err)
	}
	raw := repotest.PutManifest(t, again, repotest.PutArtifact(t, again, repotest.Product, "2.0.0", 9, repotest.Image("two", 100_000)))
	repotest.Put(t, again, "metadata/2.base-unit.json", repotest.Sign(t, repotest.NewProduct(t, 2, w.now, nil, raw), w.Product...))
	w.publish(again)
	w.mustSee(device, "2.0.0")
}

func TestRootNeverReplaced(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := t.TempDir()
	repotest.Put(t, dir, "metadata/1.root.json", repotest.Sign(t, w.NewRoot(1, w.now.Add(time.Hour)), w.Root...))
	if _, err := w.repo.Publish(context.Background(), dir, PublishOptions{}); !errors.Is(err, ErrConflict) {
		t.Errorf("another root 1: %v, want ErrConflict", err)
	}
}

func rootBundle(t *testing.T, version int64, m *metadata.Metadata[metadata.RootType], signers ...keyfile.Signer) string {
	t.Helper()
	dir := t.TempDir()
	repotest.Put(t, dir, bundle.MetadataName(version, metadata.ROOT), repotest.Sign(t, m, signers...))
	return dir
}
