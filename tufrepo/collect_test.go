package tufrepo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

func (w *world) collect(grace time.Duration) Collected {
	w.t.Helper()
	c, err := w.repo.Collect(context.Background(), grace)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestCollect(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	first := repotest.Files(t, w.repo.dir)
	w.now = w.now.Add(24 * time.Hour)
	w.withdraw("1.1.0", 2)
	gone := []string{"metadata/1.base-unit.json", "metadata/1.snapshot.json"}
	for _, name := range first {
		if strings.HasPrefix(name, "blobs/") || strings.HasPrefix(name, "targets/") {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)

	w.now = w.now.Add(Grace - time.Second)
	if c := w.collect(Grace); len(c.Removed) != 0 || c.Waiting != len(gone) || !c.Next.Equal(w.now.Add(time.Second)) {
		t.Errorf("a second too early: %+v", c)
	}
	w.now = w.now.Add(time.Second)
	c := w.collect(Grace)
	if !slices.Equal(c.Removed, gone) || c.Waiting != 0 || c.Bytes < 500 {
		t.Errorf("removed %q (%d bytes), %d waiting; want %q", c.Removed, c.Bytes, c.Waiting, gone)
	}
	for _, name := range []string{"metadata/1.root.json", "metadata/1.targets.json", "state/keys/timestamp.key"} {
		if _, err := os.Stat(w.repo.path(name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	w.renew()
	w.mustSee(w.device(), "1.1.0")
	if c := w.collect(0); len(c.Removed) > 1 {
		t.Errorf("there was more to remove: %+v", c)
	}
}

// A blob that releases share is out of use with the last of them, and in use again with the next one. Were it in the journal
// meanwhile, a crash before the next entry would let Collect take it without grace.
func TestJournalOfASharedBlob(t *testing.T) {
	w := newWorld(t)
	shared := repotest.Image("one", 200_000)
	w.publish(w.genesis())
	m, err := w.base().Manifest("base-unit/1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		image []byte
		want  bool
	}{{shared, false}, {repotest.Image("two", 200_000), true}, {shared, false}} {
		w.only(fmt.Sprintf("1.%d.0", i+1), int64(i+2), step.image)
		j, err := w.repo.loadJournal()
		if _, listed := j[bundle.BlobName(m.Artifact.SHA256)]; err != nil || listed != step.want || len(j) == 0 {
			t.Errorf("step %d: %v, in the journal of %d: %v", i, err, len(j), listed)
		}
	}
}

// Whoever holds a timestamp that has not expired finds all that it leads to, however short the grace; and every root.
func TestCollectKeepsWhatAValidTimestampReaches(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	held, err := os.ReadFile(w.repo.path(bundle.TimestampName))
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	w.withdraw("1.1.0", 2)
	w.publish(w.rotateOnline())
	w.now = w.now.Add(23*time.Hour - 2*time.Second)
	w.collect(0)
	fsys, err := w.repo.FS()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Open(client.Config{
		Root:   []byte(repotest.Snapshot(t, w.repo.dir)["metadata/1.root.json"]),
		Source: client.FSSource(overlay{noRoot2{fsys}, map[string][]byte{bundle.TimestampName: held}}), Clock: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	target, err := c.Target(t.Context(), "base-unit/1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.repo.path(bundle.BlobName(m.Artifact.SHA256))); err != nil {
		t.Error(err)
	}
	w.now = w.now.Add(2 * Grace)
	w.collect(0)
	for _, root := range []string{"metadata/1.root.json", "metadata/2.root.json"} {
		if _, err := os.Stat(w.repo.path(root)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(w.repo.path("metadata/1.snapshot.json")); err == nil {
		t.Error("what expired long ago is still there")
	}
}

// noRoot2 is a copy of a repository in which a cache has not seen the second root yet.
type noRoot2 struct{ fs.FS }

func (f noRoot2) Open(name string) (fs.File, error) {
	if name == "metadata/2.root.json" {
		return nil, fs.ErrNotExist
	}
	return f.FS.Open(name)
}

// Without a journal, or with a damaged one, the grace starts anew.
func TestCollectWithoutItsJournal(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"lost":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{"), 0o644) },
		"future": func(path string) error {
			return os.WriteFile(path, []byte(`{"metadata/1.snapshot.json":"2999-01-01T00:00:00Z"}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(w.genesis())
			w.withdraw("1.1.0", 2)
			if err := spoil(w.repo.path(journalName)); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(Grace)
			if c := w.collect(Grace); len(c.Removed) != 0 || c.Waiting != 4 {
				t.Errorf("%+v, want four files waiting", c)
			}
			w.now = w.now.Add(Grace)
			if c := w.collect(Grace); len(c.Removed) != 4 {
				t.Errorf("%+v, want four files removed", c)
			}
		})
	}
}

// A blob that comes back to use and falls out of it again has its whole grace,
// even if the power went before the journal could say that it was in use.
func TestGraceStartsAnew(t *testing.T) {
	w := newWorld(t)
	dir := w.genesis()
	w.publish(dir)
	blob := "blobs/" + repotest.Files(t, w.repo.path("blobs"))[0]
	w.withdraw("1.1.0", 2)
	w.now = w.now.Add(Grace - time.Hour)
	again := t.TempDir()
	w.Release(t, again, w.now, w.base().Role(repotest.Product), repotest.Product, "1.2.0", 3, repotest.Image("one", 200_000))
	w.publishWithoutJournal(again)
	w.withdraw("1.3.0", 4)
	w.now = w.now.Add(2 * time.Hour)
	if c := w.collect(Grace); slices.Contains(c.Removed, blob) {
		t.Error("a blob went that was in use two hours ago")
	}
	if _, err := os.Stat(w.repo.path(blob)); err != nil {
		t.Error(err)
	}
}

// publishWithoutJournal publishes, and loses the power right after the timestamp.
func (w *world) publishWithoutJournal(dir string) {
	w.t.Helper()
	broken, swapped := *w.repo, false
	broken.around = func(moment, name string) error {
		if moment == "after" && name == bundle.TimestampName {
			swapped = true
		}
		if swapped && name == journalName {
			return errCrash
		}
		return nil
	}
	if _, err := broken.Publish(context.Background(), dir, PublishOptions{}); err != nil || !swapped {
		w.t.Fatal(err)
	}
}

func TestCollectLeavesForeignFiles(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	for _, name := range []string{"metadata/README", "blobs/notes.txt", "index.html"} {
		repotest.Put(t, w.repo.dir, name, []byte("mine"))
	}
	repotest.Put(t, w.repo.dir, "blobs/.tmp-123", []byte("torn"))
	w.collect(0)
	w.now = w.now.Add(time.Hour)
	w.collect(0)
	files := repotest.Files(t, w.repo.dir)
	for _, name := range []string{"metadata/README", "blobs/notes.txt", "index.html"} {
		if !slices.Contains(files, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if slices.Contains(files, "blobs/.tmp-123") {
		t.Error("a torn file of a writer that died is still there")
	}
}
