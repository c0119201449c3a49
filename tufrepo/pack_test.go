package tufrepo

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

func TestPack(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	w.publish(w.release("1.1.0", 2))
	w.publish(rootBundle(t, 2, w.NewRoot(2, w.now), w.Root[:2]...))
	out := filepath.Join(t.TempDir(), "release.zip")
	p, err := w.repo.Pack(context.Background(), out, repotest.Product, "1.0.0", PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Release.Counter != 1 || !p.Expires.Equal(w.now.Add(24*time.Hour)) {
		t.Errorf("packed %+v", p)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.Method != zip.Store {
			t.Errorf("%s is compressed: a reader cannot seek in it", f.Name)
		}
	}
	if len(z.File) != p.Files || p.Files != 8 {
		t.Errorf("%d files, said %d, want 8", len(z.File), p.Files)
	}
	root, _ := os.ReadFile(w.repo.path("metadata/1.root.json"))
	c, err := client.Open(client.Config{Root: root, Source: client.FSSource(&z.Reader), Clock: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if err := c.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	target, err := c.Target(ctx, "base-unit/1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	r, err := z.Open(bundle.BlobName(m.Artifact.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := bundle.CopyBlob(discard{}, r, m.Artifact.Blob); err != nil {
		t.Error(err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestPackRefuses(t *testing.T) {
	w := newWorld(t)
	out := filepath.Join(t.TempDir(), "release.zip")
	ctx := context.Background()
	if _, err := w.repo.Pack(ctx, out, repotest.Product, "1.0.0", PackOptions{}); !errors.Is(err, ErrUnpublished) {
		t.Errorf("nothing published: %v", err)
	}
	w.publish(w.genesis())
	if _, err := w.repo.Pack(ctx, out, "gateway", "1.0.0", PackOptions{}); err == nil || !strings.Contains(err.Error(), "gateway") {
		t.Errorf("unknown product: %v", err)
	}
	if _, err := w.repo.Pack(ctx, out, repotest.Product, "9", PackOptions{}); err == nil || !strings.Contains(err.Error(), `no release "9"`) {
		t.Errorf("unknown release: %v", err)
	}
	blob := repotest.Files(t, w.repo.path("blobs"))[0]
	repotest.Put(t, w.repo.dir, "blobs/"+blob, []byte("rotten"))
	if _, err := w.repo.Pack(ctx, out, repotest.Product, "1.0.0", PackOptions{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged blob: %v", err)
	}
	if left := repotest.Files(t, filepath.Dir(out)); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
