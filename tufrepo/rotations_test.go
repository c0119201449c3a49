package tufrepo

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// Each root lets one of three holders go and brings another in, so that after three rotations nobody of the first root is
// left. A device that missed one, ten or 255 of them arrives, from what it has stored and from what it was made with.
func TestDevicesThatMissedRotations(t *testing.T) {
	const last = 256
	w := newWorld(t)
	holders := repotest.Keys(t, last+2)
	w.Root = holders[:3]
	w.publish(w.genesis())
	dirs := map[int64]string{last - 1: t.TempDir(), last - 10: t.TempDir(), 1: t.TempDir()}
	for version := int64(1); version <= last; version++ {
		if version > 1 {
			w.rotate(holders, version)
		}
		if dir := dirs[version]; dir != "" {
			w.arrives(w.stored(dir, version), version)
		}
	}
	for version, dir := range dirs {
		w.arrives(w.stored(dir, version), last)
	}
	w.goTUFArrives(last)
}

// rotate puts the next root into the repository, as its publisher would have, without trying all of the chain each time.
func (w *world) rotate(holders []keyfile.Signer, version int64) {
	w.t.Helper()
	w.Root = holders[version-1 : version+2]
	signed := repotest.Sign(w.t, w.NewRoot(version, w.now), w.Root[:2]...) // both were in the root before, too
	repotest.Put(w.t, w.repo.dir, bundle.MetadataName(version, metadata.ROOT), signed)
}

// stored is a device that was made with a root of that version, and keeps what it has seen in dir.
func (w *world) stored(dir string, version int64) *client.Client {
	w.t.Helper()
	root, err := os.ReadFile(w.repo.path(bundle.MetadataName(version, metadata.ROOT)))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.Open(client.Config{
		Dir: dir, Root: root, Source: client.FSSource(os.DirFS(w.repo.dir)), Clock: w.repo.clock,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) arrives(c *client.Client, root int64) {
	w.t.Helper()
	w.mustSee(c, "1.0.0")
	if v := c.Versions().Root; v != root {
		w.t.Errorf("a device arrives at root %d, want %d", v, root)
	}
	if err := c.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) goTUFArrives(root int64) {
	w.t.Helper()
	s := httptest.NewServer(w.repo.Handler(slog.New(slog.DiscardHandler)))
	defer s.Close()
	first, err := os.ReadFile(w.repo.path("metadata/1.root.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := tufconfig.New(s.URL+"/metadata", first)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.RemoteTargetsURL = w.t.TempDir(), w.t.TempDir(), s.URL+"/targets"
	u, err := updater.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	u.UnsafeSetRefTime(w.now)
	if err := u.Refresh(); err != nil {
		w.t.Fatalf("go-tuf's client: %v", err)
	}
	info, err := u.GetTargetInfo("base-unit/1.0.0.json")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := u.DownloadTarget(info, filepath.Join(cfg.LocalTargetsDir, "manifest"), ""); err != nil {
		w.t.Error(err)
	}
	if v := u.GetTrustedMetadataSet().Root.Signed.Version; v != root {
		w.t.Errorf("go-tuf's client arrives at root %d, want %d", v, root)
	}
}
