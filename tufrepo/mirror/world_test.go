package mirror_test

import (
	"crypto"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	accessKey = "AKIDFAIRLEADTEST"
	secretKey = "of this test only"
)

func testKeys() *credentials.Credentials { return credentials.NewStaticV4(accessKey, secretKey, "") }

// world is a repository with the people around it.
type world struct {
	*repotest.People
	t    testing.TB
	repo *tufrepo.Repo
	now  time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Now()}
	repo, err := tufrepo.Init(filepath.Join(t.TempDir(), "repo"), tufrepo.InitOptions{Options: tufrepo.Options{Clock: w.clock}})
	if err != nil {
		t.Fatal(err)
	}
	w.repo = repo
	w.People = repotest.NewPeople(t, w.onlineKey("timestamp"), w.onlineKey("snapshot"))
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) onlineKey(name string) crypto.Signer {
	w.t.Helper()
	key, err := keyfile.Load(filepath.Join(w.repo.Dir(), "state/keys", name+".key"), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func (w *world) publish(dir string) {
	w.t.Helper()
	if _, err := w.repo.Publish(w.t.Context(), dir, tufrepo.PublishOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) genesis() {
	w.t.Helper()
	dir := w.t.TempDir()
	w.Genesis(w.t, dir, w.now, repotest.Product)
	w.Release(w.t, dir, w.now, nil, repotest.Product, "1.0.0", 1, repotest.Image("one", 200_000))
	w.publish(dir)
}
