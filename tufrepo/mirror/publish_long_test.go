//go:build long

package mirror_test

import (
	"os"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// release publishes the next release, and new roots of these versions with it.
func (w *world) release(version string, counter int64, roots ...int64) {
	w.t.Helper()
	dir := w.t.TempDir()
	b, err := bundle.LoadBase(os.DirFS(w.repo.Dir()), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Release(w.t, dir, w.now, b.Role(repotest.Product), repotest.Product, version, counter, repotest.Image("v"+version, 200_000))
	for _, v := range roots {
		repotest.Put(w.t, dir, bundle.MetadataName(v, "root"), repotest.Sign(w.t, w.NewRoot(v, w.now), w.Root[:2]...))
	}
	w.publish(dir)
}

// rotate gives the online keys to new ones, from now on.
func (w *world) rotate() {
	w.t.Helper()
	for _, name := range []string{"timestamp-2", "snapshot-2"} {
		if _, err := w.repo.NewKey(name, keyfile.Ed25519); err != nil {
			w.t.Fatal(err)
		}
	}
	w.Timestamp, w.Snapshot = repotest.Wrap(w.t, w.onlineKey("timestamp-2")), repotest.Wrap(w.t, w.onlineKey("snapshot-2"))
}

// withdraw publishes a role that lists nothing but a new release.
func (w *world) withdraw(version string, counter, role int64) {
	w.t.Helper()
	dir := w.t.TempDir()
	raw := repotest.PutManifest(w.t, dir, repotest.PutArtifact(w.t, dir, repotest.Product, version, counter, repotest.Image("v"+version, 200_000)))
	repotest.Put(w.t, dir, bundle.MetadataName(role, repotest.Product),
		repotest.Sign(w.t, repotest.NewProduct(w.t, role, w.now, nil, raw), w.Product...))
	w.publish(dir)
}
