package bundle_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestLoadBase(t *testing.T) {
	w := newWorld(t)
	b := w.base()
	if b.Root().Signed.Version != 1 || b.Targets().Signed.Version != 1 || b.Role(repotest.Product).Signed.Version != 1 {
		t.Errorf("root %d, targets %d", b.Root().Signed.Version, b.Targets().Signed.Version)
	}
	if b.Role("gateway") != nil {
		t.Error("a role that is not there")
	}
	m, err := b.Manifest("base-unit/1.0.0.json")
	if err == nil || !errors.Is(err, fs.ErrNotExist) || m != nil {
		t.Errorf("a manifest that was not copied: %v, %v", m, err)
	}
	all, err := bundle.Releases(repotest.Product, b.Role(repotest.Product))
	if err != nil || len(all) != 1 || all[0].Counter != 5 || all[0].Version != "1.0.0" {
		t.Errorf("releases %+v, error %v", all, err)
	}
}

func TestLoadBaseOfNothing(t *testing.T) {
	b, err := bundle.LoadBase(os.DirFS(t.TempDir()), nil)
	if err != nil || !b.Empty() || b.Root() != nil || b.Targets() != nil || !b.Settled() {
		t.Errorf("base %+v, error %v", b, err)
	}
	w := newWorld(t)
	if _, err := bundle.LoadBase(os.DirFS(t.TempDir()), w.pinnedRoot); err == nil || !strings.Contains(err.Error(), "the pinned one") {
		t.Errorf("with a pinned root: %v", err)
	}
}

func TestLoadBaseRefuses(t *testing.T) {
	good := newWorld(t)
	other := newWorld(t)
	put := func(name string, raw []byte) func(*world) {
		return func(w *world) { repotest.Put(w.t, w.repo, name, raw) }
	}
	lose := func(name string) func(*world) {
		return func(w *world) {
			if err := os.Remove(filepath.Join(w.repo, name)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name, say string
		spoil     func(w *world)
	}{
		{"another repository's root", "another repository, or a forged one", func(w *world) { w.pinnedRoot = other.pinnedRoot }},
		{"snapshot altered", "is not the file that was published", func(w *world) {
			raw := w.read(w.repo, "metadata/1.snapshot.json")
			raw[len(raw)-1] ^= 1
			repotest.Put(w.t, w.repo, "metadata/1.snapshot.json", raw)
		}},
		{"product altered", "is not the file that was published", put("metadata/1.base-unit.json", []byte("{}"))},
		{"another repository's timestamp", "not enough signatures", put(bundle.TimestampName, other.read(other.repo, bundle.TimestampName))},
		{"torn timestamp", "timestamp.json", put(bundle.TimestampName, []byte(`{"signed":{`))},
		{"empty root", "1.root.json", func(w *world) { w.pinnedRoot = nil; put("metadata/1.root.json", nil)(w) }},
		{"root lost", "files were lost", func(w *world) { w.pinnedRoot = nil; lose("metadata/1.root.json")(w) }},
		{"snapshot lost", "1.snapshot.json", lose("metadata/1.snapshot.json")},
		{"next root by strangers", "by the keys of root 1", put("metadata/2.root.json", repotest.Sign(t, other.NewRoot(2, now), other.Root...))},
		{"folder in place of a file", "not a regular file", func(w *world) {
			lose(bundle.TimestampName)(w)
			if err := os.Mkdir(filepath.Join(w.repo, bundle.TimestampName), 0o755); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"endless timestamp", "larger than", func(w *world) {
			if err := os.Truncate(filepath.Join(w.repo, bundle.TimestampName), 1<<40); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := good.clone(t)
			w.repo = filepath.Join(t.TempDir(), "repo")
			if err := os.CopyFS(w.repo, os.DirFS(good.repo)); err != nil {
				t.Fatal(err)
			}
			tc.spoil(w)
			_, err := bundle.LoadBase(os.DirFS(w.repo), w.pinnedRoot)
			if err == nil || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("got %v, want it to say %q", err, tc.say)
			}
		})
	}
}

// A root that is there before anything it vouches for: the publisher can read
// such a folder to repair it, an engineer must not build on it.
func TestLoadBaseUnsettled(t *testing.T) {
	w := newWorld(t)
	root := w.NewRoot(2, now)
	stranger := repotest.Keys(t, 1)[0]
	repotest.SetRole(root, metadata.TIMESTAMP, 1, stranger)
	drop(root, w.Timestamp)
	repotest.Put(t, w.repo, "metadata/2.root.json", repotest.Sign(t, root, w.Root[:2]...))
	if _, err := bundle.LoadBase(os.DirFS(w.repo), w.pinnedRoot); !errors.Is(err, bundle.ErrUnsettled) {
		t.Errorf("LoadBase: %v, want ErrUnsettled", err)
	}
	b, err := bundle.LoadOwn(os.DirFS(w.repo))
	if err != nil || b.Settled() || b.Root().Signed.Version != 2 {
		t.Errorf("LoadOwn: %v", err)
	}
}
