package tufrepo

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

// patchedRelease is a bundle with release 1.1.0 and a patch to it from 1.0.0; patch is the name of its blob.
func (w *world) patchedRelease() (dir, patch string) {
	w.t.Helper()
	dir = w.t.TempDir()
	image := repotest.Image("two", 200_000)
	m := repotest.PutArtifact(w.t, dir, repotest.Product, "1.1.0", 2, image)
	repotest.PutPatch(w.t, dir, m, repotest.Image("one", 200_000), image)
	role := repotest.NewProduct(w.t, 2, w.now, w.base().Role(repotest.Product), repotest.PutManifest(w.t, dir, m))
	repotest.Put(w.t, dir, bundle.MetadataName(2, repotest.Product), repotest.Sign(w.t, role, w.Product...))
	return dir, bundle.BlobName(m.Patches[0].SHA256)
}

func TestPatchesArePublishedPackedAndCollected(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir, patch := w.patchedRelease()
	if p := w.publish(dir); p.Blobs != 2 {
		t.Errorf("%d blobs were published, want the artifact and the patch", p.Blobs)
	}
	w.mustSee(w.device(), "1.0.0", "1.1.0")

	out := filepath.Join(t.TempDir(), "release.zip")
	if _, err := w.repo.Pack(context.Background(), out, repotest.Product, "1.1.0", PackOptions{}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if _, err := z.Open(patch); err != nil {
		t.Errorf("the pack lacks the patch: %v", err)
	}

	w.now = w.now.Add(2 * Grace)
	if c := w.collect(Grace); slices.Contains(c.Removed, patch) {
		t.Error("the patch of a published release was removed")
	}
	w.withdraw("1.2.0", 3)
	w.now = w.now.Add(Grace)
	if c := w.collect(Grace); !slices.Contains(c.Removed, patch) {
		t.Errorf("the patch of a withdrawn release stays; removed were %q", c.Removed)
	}
}

// A patch that rots in the repository is replaced by publishing its bundle again, as an artifact is.
func TestRottenPatchIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir, patch := w.patchedRelease()
	w.publish(dir)
	good, err := os.ReadFile(w.repo.path(patch))
	if err != nil {
		t.Fatal(err)
	}
	repotest.Put(t, w.repo.dir, patch, append([]byte{1}, good[1:]...))
	w.now = w.now.Add(time.Minute)
	if p := w.publish(dir); !p.Nothing || p.Blobs != 1 {
		t.Errorf("published %+v, want one blob replaced", p)
	}
	if got, err := os.ReadFile(w.repo.path(patch)); err != nil || !slices.Equal(got, good) {
		t.Errorf("the patch is still rotten (%v)", err)
	}
}

func TestPatchThatWasAlteredIsNotPublished(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	before := repotest.Snapshot(t, w.repo.dir)
	dir, patch := w.patchedRelease()
	raw, err := os.ReadFile(filepath.Join(dir, patch))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	repotest.Put(t, dir, patch, raw)
	_, err = w.repo.Publish(context.Background(), dir, PublishOptions{})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), patch) {
		t.Errorf("got error %v, want a refusal of %s", err, patch)
	}
	if _, err := os.Stat(w.repo.path(patch)); err == nil {
		t.Error("the altered patch is in the repository")
	}
	for name, data := range repotest.Snapshot(t, w.repo.dir) {
		if strings.HasPrefix(name, "metadata/") && before[name] != data {
			t.Errorf("%s changed", name)
		}
	}
}
