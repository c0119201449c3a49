package tufrepo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

func TestRenew(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	device := w.device()
	w.mustSee(device, "1.0.0")
	for _, step := range []struct {
		after               time.Duration
		timestamp, snapshot int64
	}{
		{12 * time.Hour, 2, 1},
		{12 * time.Hour, 3, 1},
		{60 * time.Hour, 4, 1}, // at half of its life: still good
		{time.Second, 5, 2},
		{6 * 24 * time.Hour, 6, 3},
	} {
		w.now = w.now.Add(step.after)
		done := w.renew()
		if done.Timestamp != step.timestamp || done.Snapshot != step.snapshot {
			t.Errorf("%s later: timestamp %d, snapshot %d; want %d, %d", step.after, done.Timestamp, done.Snapshot, step.timestamp, step.snapshot)
		}
		if !done.Issued.Equal(w.now) || !done.Expires.Equal(w.now.Add(24*time.Hour)) || !done.Next.Equal(w.now.Add(12*time.Hour)) {
			t.Errorf("%+v at %s", done, w.now)
		}
		w.mustSee(device, "1.0.0")
	}
}

// A snapshot that would expire before the timestamp over it is made anew, with
// whatever lives the repository was made.
func TestSnapshotOutlivesTimestamp(t *testing.T) {
	w := &world{t: t, now: start}
	repo, err := Init(t.TempDir(), InitOptions{
		Options: Options{Clock: func() time.Time { return w.now }}, TimestampLife: 10 * time.Hour, SnapshotLife: 10 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.repo = repo
	w.People = repotest.NewPeople(t, w.onlineKey("timestamp"), w.onlineKey("snapshot"))
	w.publish(w.genesis())
	w.now = w.now.Add(time.Hour)
	w.renew()
	b := w.base()
	if s, ts := b.Snapshot().Meta.Signed.Expires, b.Timestamp().Meta.Signed.Expires; s.Before(ts) {
		t.Errorf("the snapshot expires at %s, the timestamp at %s", s, ts)
	}
}

func TestRenewAfterOnlineKeysChanged(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	device := w.device()
	w.mustSee(device, "1.0.0")
	w.publish(w.rotateOnline())
	if got := len(w.base().Timestamp().Meta.Signatures); got != 2 {
		t.Errorf("the timestamp of the change has %d signatures, want those of both roots", got)
	}
	w.mustSee(device, "1.0.0")
	for _, name := range []string{"timestamp", "snapshot"} {
		if err := os.Remove(w.repo.path("state/keys/" + name + ".key")); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(4 * 24 * time.Hour)
	w.renew()
	if got := len(w.base().Timestamp().Meta.Signatures); got != 1 {
		t.Errorf("the timestamp has %d signatures, want that of the new key", got)
	}
	w.mustSee(device, "1.0.0")
}

func TestRenewWithoutItsKey(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	if err := os.Remove(w.repo.path("state/keys/timestamp.key")); err != nil {
		t.Fatal(err)
	}
	_, err := w.repo.Renew(context.Background())
	if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), w.Timestamp.ID()[:12]) {
		t.Errorf("got %v, want ErrNoKey that names the key", err)
	}
}

func TestKeyFileOthersCanRead(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	if err := os.Chmod(w.repo.path("state/keys/timestamp.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Renew(context.Background()); !errors.Is(err, keyfile.ErrPermissions) {
		t.Errorf("got %v, want ErrPermissions", err)
	}
}

func TestRenewWithAClockInThePast(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	before := repotest.Snapshot(t, w.repo.dir)
	w.now = time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC)
	if _, err := w.repo.Renew(context.Background()); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("got %v", err)
	}
	if repotest.Snapshot(t, w.repo.dir)[bundle.TimestampName] != before[bundle.TimestampName] {
		t.Error("the timestamp changed")
	}
}

// Expired metadata of the engineers does not stop the timestamp: it is for
// status to tell.
func TestRenewWithExpiredTargets(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	device := w.device()
	w.now = w.now.Add(repotest.Year)
	w.renew()
	if _, err := w.sees(device); !errors.Is(err, client.ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	s, err := w.repo.Status()
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, r := range s.Expiring(w.now.Add(time.Second)) {
		roles = append(roles, r.Role)
	}
	if got := strings.Join(roles, " "); got != "root targets base-unit" {
		t.Errorf("expired: %q", got)
	}
}

// newBubbleWorld is a published world in which the time is that of the bubble.
func newBubbleWorld(t *testing.T) *world {
	t.Helper()
	repo, err := Init(t.TempDir(), InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, repo: repo, now: time.Now()}
	w.People = repotest.NewPeople(t, w.onlineKey("timestamp"), w.onlineKey("snapshot"))
	w.publish(w.genesis())
	return w
}

// The loop runs for days of a clock that stands still but for its sleeps.
func TestRenewLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		repo := w.repo
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- repo.RenewLoop(ctx, 0) }()

		begin := time.Now()
		for time.Since(begin) < 3*24*time.Hour {
			time.Sleep(time.Hour)
			synctest.Wait()
			if rest := time.Until(w.base().Timestamp().Meta.Signed.Expires); rest < 11*time.Hour {
				t.Fatalf("after %s the timestamp is good for another %s", time.Since(begin), rest)
			}
		}
		if v := w.base().Timestamp().Version; v != 7 {
			t.Errorf("timestamp %d after three days, want 7: one each half day", v)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	})
}

// Others may publish besides the loop: a root that changes the online keys,
// even one whose publish was cut short, is noticed within the minute.
func TestRenewLoopNoticesARoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.repo.RenewLoop(ctx, 0) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		w.now = time.Now()
		dir := w.rotateOnline()
		raw, err := os.ReadFile(filepath.Join(dir, "metadata/2.root.json"))
		if err != nil {
			t.Fatal(err)
		}
		repotest.Put(t, w.repo.dir, "metadata/2.root.json", raw)
		time.Sleep(lookAgain)
		synctest.Wait()
		if b := w.base(); !b.Settled() || b.Timestamp().Version != 2 {
			t.Errorf("timestamp %d, settled: %v", b.Timestamp().Version, b.Settled())
		}
		cancel()
		<-done
	})
}

// A failure is tried again until it is mended.
func TestRenewLoopTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		repo := w.repo
		key := repo.path("state/keys/timestamp.key")
		if err := os.Rename(key, key+".away"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- repo.RenewLoop(ctx, 0) }()
		time.Sleep(13 * time.Hour)
		synctest.Wait()
		if v := w.base().Timestamp().Version; v != 1 {
			t.Fatalf("timestamp %d without its key", v)
		}
		if err := os.Rename(key+".away", key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryMost + time.Minute)
		synctest.Wait()
		if v := w.base().Timestamp().Version; v != 2 {
			t.Errorf("timestamp %d, want 2", v)
		}
		cancel()
		<-done
	})
}

// Where the root has expired, its successor is published all the same: devices walk through the expired one to it.
func TestPublishAfterTheRootExpired(t *testing.T) {
	w := newWorld(t)
	dir := w.genesis()
	root := w.NewRoot(1, w.now.Add(time.Hour-repotest.Year))
	repotest.Put(t, dir, "metadata/1.root.json", repotest.Sign(t, root, w.Root[:2]...))
	w.publish(dir)
	device := w.device()
	w.mustSee(device, "1.0.0")
	w.now = w.now.Add(2 * time.Hour)
	if _, err := w.sees(device); err == nil {
		t.Fatal("the root has not expired")
	}
	next := t.TempDir()
	repotest.Put(t, next, "metadata/2.root.json", repotest.Sign(t, w.NewRoot(2, w.now), w.Root[:2]...))
	w.publish(next)
	w.mustSee(device, "1.0.0")
	w.mustSee(w.device(), "1.0.0")
}
