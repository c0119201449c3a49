package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

var errCrash = errors.New("the power went")

// crashCase is a piece of work that is cut short before its first change of a
// file, and after each: done, and reported as failed.
type crashCase struct {
	name    string
	prepare func(w *world) (work func(r *Repo) error)
	old     []string // what devices see before; nil: nothing is published
	new     []string // and after
	// window: a device that looks between two renames may fail to verify. It
	// must not see anything else, and it must get there after the healing.
	window bool
	// onlyAgain: Renew cannot heal, the work itself can.
	onlyAgain bool
	// keysLost: Renew cannot heal as long as the new root is not there.
	keysLost bool
}

func publishing(dir string) func(*Repo) error {
	return func(r *Repo) error {
		_, err := r.Publish(context.Background(), dir, PublishOptions{})
		return err
	}
}

var crashCases = []crashCase{
	{name: "first publish", new: []string{"1.0.0"}, prepare: func(w *world) func(*Repo) error {
		return publishing(w.genesis())
	}},
	{name: "release", old: []string{"1.0.0"}, new: []string{"1.0.0", "1.1.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		return publishing(w.release("1.1.0", 2))
	}},
	{name: "renew with snapshot", old: []string{"1.0.0"}, new: []string{"1.0.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		w.now = w.now.Add(6 * 24 * time.Hour)
		return func(r *Repo) error { _, err := r.Renew(context.Background()); return err }
	}, window: true}, // the old timestamp has expired
	{name: "two roots and a release", old: []string{"1.0.0"}, new: []string{"1.0.0", "1.1.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		dir := w.release("1.1.0", 2)
		repotest.Put(w.t, dir, "metadata/2.root.json", repotest.Sign(w.t, w.NewRoot(2, w.now), w.Root[:2]...))
		repotest.Put(w.t, dir, "metadata/3.root.json", repotest.Sign(w.t, w.NewRoot(3, w.now), w.Root[1:]...))
		return publishing(dir)
	}},
	{name: "root with other online keys", old: []string{"1.0.0"}, new: []string{"1.0.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		return publishing(w.rotateOnline())
	}},
	{name: "root with other online keys, the old ones lost", old: []string{"1.0.0"}, new: []string{"1.0.0"}, window: true, keysLost: true, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		dir := w.rotateOnline()
		for _, name := range []string{"timestamp", "snapshot"} {
			if err := os.Remove(w.repo.path("state/keys/" + name + ".key")); err != nil {
				w.t.Fatal(err)
			}
		}
		return publishing(dir)
	}},
	{name: "root with other targets keys, signed by both", old: []string{"1.0.0"}, new: []string{"1.0.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		return publishing(w.rotateTargets(true))
	}},
	{name: "root with other targets keys, the old ones lost", old: []string{"1.0.0"}, new: []string{"1.0.0"}, window: true, onlyAgain: true, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		return publishing(w.rotateTargets(false))
	}},
	{name: "collect", old: []string{"1.1.0"}, new: []string{"1.1.0"}, prepare: func(w *world) func(*Repo) error {
		w.publish(w.genesis())
		w.withdraw("1.1.0", 2)
		w.now = w.now.Add(Grace)
		w.renew()
		return func(r *Repo) error { _, err := r.Collect(context.Background(), Grace); return err }
	}},
}

// rotateOnline makes new online keys in the repository, and a bundle with the
// root that names them.
func (w *world) rotateOnline() string {
	w.t.Helper()
	for _, name := range []string{"timestamp-2", "snapshot-2"} {
		if _, err := w.repo.NewKey(name, keyfile.ECDSAP256); err != nil {
			w.t.Fatal(err)
		}
	}
	w.Timestamp = repotest.Wrap(w.t, w.onlineKey("timestamp-2"))
	w.Snapshot = repotest.Wrap(w.t, w.onlineKey("snapshot-2"))
	return rootBundle(w.t, 2, w.NewRoot(2, w.now), w.Root[:2]...)
}

// rotateTargets makes a bundle with a root that gives targets to a new key,
// and the next targets, signed by that key and perhaps the old one.
func (w *world) rotateTargets(both bool) string {
	w.t.Helper()
	old := w.Targets
	w.Targets = repotest.Keys(w.t, 1)
	dir := rootBundle(w.t, 2, w.NewRoot(2, w.now), w.Root[:2]...)
	signers := w.Targets
	if both {
		signers = append(signers, old...)
	}
	repotest.Put(w.t, dir, "metadata/2.targets.json", repotest.Sign(w.t, w.NewTargets(2, w.now, repotest.Product), signers...))
	return dir
}

// withdraw publishes a role that lists nothing but a new release.
func (w *world) withdraw(version string, counter int64) {
	w.t.Helper()
	w.only(version, counter, repotest.Image("v"+version, 200_000))
}

// only publishes a release in place of all others.
func (w *world) only(version string, counter int64, image []byte) {
	w.t.Helper()
	dir := w.t.TempDir()
	raw := repotest.PutManifest(w.t, dir, repotest.PutArtifact(w.t, dir, repotest.Product, version, counter, image))
	next := w.base().Role(repotest.Product).Signed.Version + 1
	repotest.Put(w.t, dir, bundle.MetadataName(next, repotest.Product),
		repotest.Sign(w.t, repotest.NewProduct(w.t, next, w.now, nil, raw), w.Product...))
	w.publish(dir)
}

// moments lists the points at which work can be cut short.
func moments(t *testing.T, r *Repo, work func(*Repo) error) []string {
	t.Helper()
	var all []string
	probe := *r
	probe.around = func(moment, name string) error {
		all = append(all, moment+" "+name)
		return nil
	}
	if err := work(&probe); err != nil {
		t.Fatalf("without a crash: %v", err)
	}
	return all
}

func (w *world) copyRepo() *Repo {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(w.repo.dir)); err != nil {
		w.t.Fatal(err)
	}
	keys, _ := filepath.Glob(filepath.Join(dir, "state/*/*.key"))
	for _, key := range keys {
		if err := os.Chmod(key, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	r := *w.repo
	r.dir = dir
	return &r
}

// with is the world around another copy of its repository.
func (w *world) with(t *testing.T, r *Repo) *world {
	c := *w
	c.t, c.repo = t, r
	return &c
}

func TestCrashes(t *testing.T) {
	for _, tc := range crashCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			work := tc.prepare(w)
			names := moments(t, w.copyRepo(), work)
			if len(names) < 4 {
				t.Fatalf("only %d moments: %q", len(names), names)
			}
			for i, moment := range names {
				if i > 0 && strings.HasPrefix(moment, "before") {
					continue // the disk is as it was after the change before
				}
				if i/2%everyNth != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%02d %s", i, strings.ReplaceAll(moment, "/", "_")), func(t *testing.T) {
					cut(t, w, tc, work, i)
				})
			}
		})
	}
}

// cut runs the work with a crash at moment i, looks with real clients, heals in
// both ways, and looks again.
func cut(t *testing.T, w *world, tc crashCase, work func(*Repo) error, i int) {
	w = w.with(t, w.repo)
	crashed := w.with(t, w.copyRepo())
	old := crashed.veteran(tc)
	crashed.crashAt(work, i)
	if err := os.WriteFile(crashed.repo.path("metadata/.tmp-torn"), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	crashed.look(tc, "after the crash", old, tc.window, tc.old, tc.new)
	if tc.old != nil && !tc.onlyAgain {
		renewed := crashed.with(t, crashed.copyRepo())
		if _, err := renewed.repo.Renew(context.Background()); err == nil {
			renewed.look(tc, "after renew", nil, false, tc.old, tc.new)
		} else if !tc.keysLost || !errors.Is(err, ErrNoKey) {
			t.Errorf("renew: %v", err)
		}
	}
	if err := work(crashed.repo); err != nil {
		t.Fatalf("running it again: %v", err)
	}
	crashed.look(tc, "after running it again", old, false, tc.new)
	for _, name := range repotest.Files(t, crashed.repo.dir) {
		if strings.Contains(name, ".tmp-") {
			t.Errorf("leftover %s", name)
		}
	}
}

func (w *world) crashAt(work func(*Repo) error, i int) {
	w.t.Helper()
	broken := *w.repo
	n := 0
	broken.around = func(_, _ string) error {
		if n++; n > i {
			return errCrash // a dead process changes nothing more, either
		}
		return nil
	}
	// The journal comes after the publish and may fail without failing it.
	if err := work(&broken); err != nil && !errors.Is(err, errCrash) {
		w.t.Fatalf("got %v, want the crash", err)
	}
}

// veteran is a device that has seen the old state, or nil.
func (w *world) veteran(tc crashCase) *client.Client {
	w.t.Helper()
	if tc.old == nil {
		return nil
	}
	c := w.device()
	if _, err := w.sees(c); err != nil && !tc.window {
		w.t.Fatal(err)
	}
	return c
}

// look lets a new device and the veteran refresh: each sees one of the states,
// whole.
func (w *world) look(tc crashCase, when string, veteran *client.Client, mayFail bool, states ...[]string) {
	w.t.Helper()
	if _, err := os.Stat(w.repo.path(bundle.TimestampName)); errors.Is(err, fs.ErrNotExist) && tc.old == nil && len(states) > 1 {
		return
	}
	devices := []*client.Client{w.device()}
	if veteran != nil {
		devices = append(devices, veteran)
	}
	for i, device := range devices {
		got, err := w.sees(device)
		if err != nil && !mayFail {
			w.t.Errorf("%s: device %d: %v", when, i, err)
		}
		if err == nil && !slices.ContainsFunc(states, func(s []string) bool { return slices.Equal(s, got) }) {
			w.t.Errorf("%s: device %d sees %q, want one of %q", when, i, got, states)
		}
	}
}

// In the cases without a window there is none: looking after every change,
// devices always succeed.
func TestNoWindow(t *testing.T) {
	for _, tc := range crashCases {
		if tc.window || tc.old == nil {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			work := tc.prepare(w)
			watched := *w.repo
			veteran := w.device()
			n := 0
			watched.around = func(moment, name string) error {
				if n++; moment == "after" && n/2%everyNth == 0 {
					w.look(tc, "after "+name, veteran, false, tc.old, tc.new)
				}
				return nil
			}
			if err := work(&watched); err != nil {
				t.Fatal(err)
			}
			w.look(tc, "at the end", veteran, false, tc.new)
		})
	}
}

// Of several new roots no device meets only some.
func TestRootsAppearTogether(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := rootBundle(t, 2, w.NewRoot(2, w.now), w.Root[:2]...)
	repotest.Put(t, dir, "metadata/3.root.json", repotest.Sign(t, w.NewRoot(3, w.now), w.Root[:2]...))
	watched, seen := *w.repo, map[int64]bool{}
	watched.around = func(_, _ string) error {
		device := w.device()
		_, err := w.sees(device)
		seen[device.Versions().Root] = true
		return err
	}
	if _, err := watched.Publish(context.Background(), dir, PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	if !seen[1] || seen[2] || !seen[3] {
		t.Errorf("devices met the roots %v, want 1 and 3 alone", seen)
	}
}

// The file of an unfinished publish gives way to another one of that version;
// nothing has ever led a device to it.
func TestUnfinishedFileIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	abandoned, wanted := w.release("1.1.0", 2), w.release("1.2.0", 3)
	w.crashBefore(abandoned, bundle.TimestampName)
	leftover, err := os.ReadFile(w.repo.path("metadata/2.base-unit.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.publish(wanted)
	if now, _ := os.ReadFile(w.repo.path("metadata/2.base-unit.json")); slices.Equal(now, leftover) {
		t.Error("the leftover is still there")
	}
	w.mustSee(w.device(), "1.0.0", "1.2.0")
	if v := w.base().Snapshot().Version; v != 3 {
		t.Errorf("snapshot %d: the number of the one that was never published was used again", v)
	}
}

func (w *world) crashBefore(dir, name string) {
	w.t.Helper()
	broken := *w.repo
	broken.around = func(moment, n string) error {
		if moment == "before" && n == name {
			return errCrash
		}
		return nil
	}
	if _, err := broken.Publish(context.Background(), dir, PublishOptions{}); !errors.Is(err, errCrash) {
		w.t.Fatalf("got %v, want the crash", err)
	}
}

// The rehearsal is the last line of defence: what the client refuses is not
// published, whatever else found it good.
func TestRehearsalStopsAPublish(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	before, _ := os.ReadFile(w.repo.path(bundle.TimestampName))
	dir := w.release("1.1.0", 2)
	poisoned := *w.repo
	poisoned.around = func(moment, name string) error {
		if moment == "after" && strings.HasPrefix(name, "targets/base-unit/") {
			return os.WriteFile(w.repo.path(name), []byte("{}"), 0o644)
		}
		return nil
	}
	_, err := poisoned.Publish(context.Background(), dir, PublishOptions{})
	if err == nil || !strings.Contains(err.Error(), "before anything is changed") {
		t.Errorf("got %v, want the rehearsal's refusal", err)
	}
	if after, _ := os.ReadFile(w.repo.path(bundle.TimestampName)); !slices.Equal(before, after) {
		t.Error("the timestamp changed")
	}
	w.publish(dir)
	w.mustSee(w.device(), "1.0.0", "1.1.0")
}

// A second root by an unknown writer must not be swallowed by a publish.
func TestForeignRootFileStopsAPublish(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := rootBundle(t, 2, w.NewRoot(2, w.now), w.Root[:2]...)
	meddled := *w.repo
	other := repotest.Sign(t, func() *metadata.Metadata[metadata.RootType] { return w.NewRoot(2, w.now.Add(time.Hour)) }(), w.Root[:2]...)
	meddled.around = func(moment, name string) error {
		if moment == "after" && name == bundle.TimestampName {
			repotest.Put(t, w.repo.dir, "metadata/2.root.json", other)
		}
		return nil
	}
	_, err := meddled.Publish(context.Background(), dir, PublishOptions{})
	if err == nil || !strings.Contains(err.Error(), "a root is never replaced") {
		t.Errorf("got %v", err)
	}
	if now, _ := os.ReadFile(w.repo.path("metadata/2.root.json")); !slices.Equal(now, other) {
		t.Error("a root was replaced")
	}
}

// Renew cannot do what takes the engineers, and says so; the old state is as it
// was.
func TestRenewOfAHalfPublishedRoot(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	dir := w.rotateTargets(false)
	w.crashBefore(dir, bundle.TimestampName)
	before := repotest.Snapshot(t, w.repo.dir)[bundle.TimestampName]
	_, err := w.repo.Renew(context.Background())
	if !errors.Is(err, bundle.ErrUnsettled) || !strings.Contains(err.Error(), "brings the next targets") {
		t.Errorf("got %v, want ErrUnsettled and what to do", err)
	}
	if repotest.Snapshot(t, w.repo.dir)[bundle.TimestampName] != before {
		t.Error("the timestamp changed")
	}
	if s, err := w.repo.Status(); err != nil || s.Settled {
		t.Errorf("status %+v, error %v", s, err)
	}
	w.publish(dir)
	w.mustSee(w.device(), "1.0.0")
}

// A database that came back from yesterday: devices refuse the old numbers, and
// new online keys make them take the repository again.
func TestRestoredBackup(t *testing.T) {
	w := newWorld(t)
	w.publish(w.genesis())
	backup := w.copyRepo()
	for range 3 {
		w.now = w.now.Add(5 * time.Hour)
		w.renew()
	}
	device := w.device()
	w.mustSee(device, "1.0.0")
	if err := os.RemoveAll(w.repo.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup.dir, w.repo.dir); err != nil {
		t.Fatal(err)
	}
	w.renew()
	if _, err := w.sees(device); !errors.Is(err, client.ErrRollback) {
		t.Errorf("got %v, want ErrRollback", err)
	}
	w.publish(w.rotateOnline())
	w.mustSee(device, "1.0.0")
}
