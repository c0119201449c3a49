package tufrepo

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// withLog gives the repository a log, three witnesses, and people who believe
// them.
func withLog(t *testing.T) (*world, *tlogtest.World) {
	t.Helper()
	w := newWorld(t)
	if _, err := w.repo.InitLog("fw.example.com/releases"); err != nil {
		t.Fatal(err)
	}
	skey, err := logkey.Read(w.repo.path(logKeyName))
	if err != nil {
		t.Fatal(err)
	}
	return w, tlogtest.WithKey(t, skey, 3)
}

// targets puts a targets role with a log policy into a bundle.
func (w *world) targets(dir string, version int64, policy string) {
	w.t.Helper()
	m := w.NewTargets(version, w.now, repotest.Product)
	if policy != "" {
		m.Signed.Targets[tlog.PolicyPath] = bundle.PolicyTarget([]byte(policy))
		repotest.Put(w.t, dir, "targets/"+tlog.PolicyPath, []byte(policy))
	}
	repotest.Put(w.t, dir, bundle.MetadataName(version, metadata.TARGETS), repotest.Sign(w.t, m, w.Targets...))
}

func (w *world) loggedGenesis(policy string) string {
	w.t.Helper()
	dir := w.genesis()
	w.targets(dir, 1, policy)
	return dir
}

func (w *world) proofs() []string {
	w.t.Helper()
	found, err := filepath.Glob(w.repo.path("targets/" + repotest.Product + "/*.tlog-proof"))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestReleasesAreLogged(t *testing.T) {
	w, l := withLog(t)
	device := func() *client.Client { return w.device() }
	done := w.publish(w.loggedGenesis(l.Policy(2)))
	if done.Logged != 1 || done.LogSize != 1 {
		t.Errorf("published %+v", done)
	}
	w.mustSee(device(), "1.0.0")
	for i, version := range []string{"1.1.0", "1.2.0"} {
		if done := w.publish(w.release(version, int64(i)+2)); done.Logged != 1 || done.LogSize != uint64(i)+2 {
			t.Errorf("published %+v", done)
		}
	}
	w.mustSee(device(), "1.0.0", "1.1.0", "1.2.0")
	for _, path := range w.proofs() {
		if st, err := os.Stat(path); err != nil || st.Size() > 2048 {
			t.Errorf("%s: %d bytes, %v", path, st.Size(), err)
		}
	}
	info, err := w.repo.Log(context.Background())
	if err != nil || info.Size != 3 || info.Origin != "fw.example.com/releases" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestProofThatIsNotThereStopsADeviceAndIsMadeAgain(t *testing.T) {
	w, l := withLog(t)
	dir := w.loggedGenesis(l.Policy(2))
	w.publish(dir)
	if err := os.Remove(w.proofs()[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sees(w.device()); !errors.Is(err, client.ErrNotLogged) {
		t.Errorf("without a proof: %v", err)
	}
	if done := w.publish(dir); !done.Nothing || done.Logged != 1 || done.LogSize != 1 {
		t.Errorf("published again: %+v", done)
	}
	w.mustSee(w.device(), "1.0.0")
}

// A release of somebody who holds every key but the log's: what they can write
// by hand, a device does not take.
func TestSignedReleaseThatIsNotLoggedIsRefused(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(2)))
	evil := w.with(t, w.copyRepo())
	if err := os.Remove(evil.repo.path(logKeyName)); err != nil {
		t.Fatal(err)
	}
	dir := evil.release("6.6.6", 2)
	if _, err := evil.repo.Publish(context.Background(), dir, PublishOptions{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("publishing without the log's key: %v", err)
	}
	// The proof of the other release, under the name that a device asks for.
	raw, err := os.ReadFile(evil.proofs()[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.Plan(evil.base())
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Releases[0]
	repotest.Put(t, evil.repo.dir, bundle.ProofName(e.Path, e.SHA256, plan.Policy), raw)
	_, err = evil.repo.Publish(context.Background(), dir, PublishOptions{})
	if !errors.Is(err, client.ErrNotLogged) {
		t.Errorf("with the proof of another release, the rehearsal says %v", err)
	}
}

func TestWitnessesAreDown(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(2)))
	before := w.base().Timestamp().Version
	for _, one := range l.Witnesses[:2] {
		one.Stop()
	}
	dir := w.release("1.1.0", 2)
	_, err := w.repo.Publish(context.Background(), dir, PublishOptions{})
	if !errors.Is(err, tlog.ErrQuorum) || !strings.Contains(err.Error(), "witness w1") {
		t.Fatalf("two of three witnesses are down: %v", err)
	}
	w.mustSee(w.device(), "1.0.0")
	if now := w.base().Timestamp().Version; now != before {
		t.Errorf("timestamp %d, was %d", now, before)
	}
	policy := l.Policy(2)
	l.Witnesses[0].RunAt(t, l.Witnesses[0].URL)
	if l.Policy(2) != policy {
		t.Fatal("the witness came back elsewhere")
	}
	done := w.publish(dir)
	if done.LogSize != 2 {
		t.Errorf("the entry was added twice: %+v", done)
	}
	if len(done.Missed) != 1 || done.Missed[0].Witness != "w1" || !strings.Contains(done.Missed[0].Why, "connection refused") {
		t.Errorf("missed %+v, want w1, which is down", done.Missed)
	}
	w.mustSee(w.device(), "1.0.0", "1.1.0")
}

func TestPolicyIsRotated(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.genesis()) // without any policy
	w.publish(w.release("1.1.0", 2))
	old := w.device()
	w.mustSee(old, "1.0.0", "1.1.0")
	for i, policy := range []string{l.Policy(0), l.Policy(2), l.Policy(3)} {
		dir := t.TempDir()
		w.targets(dir, int64(i)+2, policy)
		if done := w.publish(dir); done.Logged != 2 || done.LogSize != 2 {
			t.Errorf("policy %d: %+v", i, done)
		}
		w.mustSee(old, "1.0.0", "1.1.0")
		w.mustSee(w.device(), "1.0.0", "1.1.0")
	}
	w.now = w.now.Add(Grace / 2) // proofs for policies of before go with their grace
	w.renew()
	w.now = w.now.Add(Grace)
	if _, err := w.repo.Renew(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Collect(context.Background(), Grace); err != nil {
		t.Fatal(err)
	}
	if n := len(w.proofs()); n != 2 {
		t.Errorf("%d proofs are left", n)
	}
	w.mustSee(w.device(), "1.0.0", "1.1.0")

	dir := t.TempDir()
	w.targets(dir, 5, "")
	if _, err := w.repo.Publish(context.Background(), dir, PublishOptions{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "log policy out") {
		t.Errorf("leaving the policy out: %v", err)
	}
	w.targets(dir, 5, "quorum none\n")
	w.publish(dir)
	w.publish(w.release("1.2.0", 3))
	w.mustSee(old, "1.0.0", "1.1.0", "1.2.0")
	if n := len(w.proofs()); n != 2 {
		t.Errorf("%d proofs though none is asked for", n)
	}
}

// Releases that are far back in the log are found there, not entered again.
func TestOldEntriesAreFound(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(1)))
	log, _, err := w.repo.openLog()
	if err != nil {
		t.Fatal(err)
	}
	var others [][]byte
	for i := range 1100 { // more than Add itself looks back
		others = append(others, fmt.Appendf(nil, "another entry %d", i))
	}
	if _, err := log.Add(context.Background(), others); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.targets(dir, 2, l.Policy(2))
	if done := w.publish(dir); done.Logged != 1 || done.LogSize != 1101 {
		t.Errorf("published %+v", done)
	}
	w.mustSee(w.device(), "1.0.0")
}

// The log's key was lost: another log takes its place, and has all releases.
func TestLogIsReplaced(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(2)))
	w.publish(w.release("1.1.0", 2))
	device := w.device()
	w.mustSee(device, "1.0.0", "1.1.0")
	if _, err := w.repo.InitLog("fw.example.com/second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second log: %v", err)
	}
	if err := os.RemoveAll(w.repo.path("state/log")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.InitLog("fw.example.com/second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the folder of the first: %v", err)
	}
	if err := os.Rename(w.repo.path(logName), filepath.Join(t.TempDir(), "first-log")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.InitLog("fw.example.com/second"); err != nil {
		t.Fatal(err)
	}
	skey, err := logkey.Read(w.repo.path(logKeyName))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.targets(dir, 2, tlogtest.WithKey(t, skey, 1).Policy(1))
	if done := w.publish(dir); done.Logged != 2 || done.LogSize != 2 {
		t.Errorf("published %+v", done)
	}
	w.mustSee(device, "1.0.0", "1.1.0")
}

func TestPolicyThatDoesNotFitIsRefused(t *testing.T) {
	w, l := withLog(t)
	other := tlogtest.New(t, "other.example/log", 0)
	publish := func(change func(dir string)) error {
		dir := w.loggedGenesis(l.Policy(2))
		change(dir)
		_, err := w.repo.Publish(context.Background(), dir, PublishOptions{})
		return err
	}
	name := "targets/" + tlog.PolicyPath
	for what, test := range map[string]struct {
		change func(dir string)
		want   string
	}{
		"missing":     {func(dir string) { os.Remove(filepath.Join(dir, name)) }, "is missing, or is another"},
		"altered":     {func(dir string) { repotest.Put(t, dir, name, []byte("quorum none\n")) }, "is missing, or is another"},
		"no policy":   {func(dir string) { w.targets(dir, 1, "hello\n") }, "not log, witness, group or quorum"},
		"another log": {func(dir string) { w.targets(dir, 1, other.Policy(0)) }, "does not believe this repository's log"},
		"unnamed": {func(dir string) {
			w.targets(dir, 1, "")
			repotest.Put(t, dir, name, []byte("quorum none\n"))
		}, "does not name this log policy"},
	} {
		if err := publish(test.change); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
	if w.base().Timestamp() != nil {
		t.Error("something was published")
	}
}

func TestPackHasTheProof(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(2)))
	out := filepath.Join(t.TempDir(), "pack.zip")
	if _, err := w.repo.Pack(context.Background(), out, repotest.Product, "1.0.0", PackOptions{}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	c := w.device()
	c.Close()
	offline, err := client.Open(client.Config{Root: w.base().Roots()[0].Bytes, Source: client.FSSource(z), Clock: w.repo.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer offline.Close()
	w.mustSee(offline, "1.0.0")
	if offline.Versions().Policy == "" {
		t.Error("the pack brought no policy")
	}
}

func TestLogIsServed(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(2)))
	server := httptest.NewServer(w.repo.Handler(slog.New(slog.DiscardHandler)))
	defer server.Close()
	get := func(name string) (int, string, string) {
		resp, err := http.Get(server.URL + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("Cache-Control"), string(b)
	}
	status, cache, text := get("log/checkpoint")
	if _, err := tlogtest.Parse(t, l.Policy(2)).Checkpoint([]byte(text)); status != 200 || cache != cacheNever || err != nil {
		t.Errorf("checkpoint: %d, %s, %v", status, cache, err)
	}
	proof, _ := filepath.Rel(w.repo.dir, w.proofs()[0])
	policy := w.base().PolicyFile()
	for _, name := range []string{proof, policy, "log/tile/0/000.p/1", "log/tile/entries/000.p/1"} {
		if status, cache, _ := get(name); status != 200 || cache != cacheForEver {
			t.Errorf("%s: %d, %s", name, status, cache)
		}
	}
	for _, name := range []string{"log/.state/treeState", "state/log/log.key", "log/", "log", "targets/" + tlog.PolicyPath} {
		if status, _, _ := get(name); status != 404 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

func TestBundleIsLoggedBeforeItIsSigned(t *testing.T) {
	w, l := withLog(t)
	dir := w.loggedGenesis(l.Policy(2))
	if err := os.RemoveAll(filepath.Join(dir, "metadata")); err != nil {
		t.Fatal(err)
	}
	got, err := w.repo.LogBundle(context.Background(), dir)
	if err != nil || len(got) != 1 || got[repotest.Product+"/1.0.0.json"] != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if done := w.publish(w.loggedGenesis(l.Policy(2))); done.LogSize != 1 {
		t.Errorf("it was added again: %+v", done)
	}
}

// A crash at any change of a publish with a log: what devices see is the old
// state or the new, the next publish completes it, and nothing stands in the
// log twice.
func TestCrashesWithALog(t *testing.T) {
	w, l := withLog(t)
	policy := l.Policy(2)
	w.publish(w.loggedGenesis(policy))
	dir := w.release("1.1.0", 2)
	names := moments(t, w.copyRepo(), publishing(dir))
	if !slices.Contains(names, "after log") || !slices.Contains(names, "before log/checkpoint") {
		t.Fatalf("moments %q", names)
	}
	for _, moment := range names {
		if !strings.Contains(moment, "log") {
			continue
		}
		// Each crash happens to the one repository that the witnesses know.
		cut := *w.repo
		cut.around = func(when, name string) error {
			if when+" "+name == moment {
				return errCrash
			}
			return nil
		}
		crashed := w.with(t, w.repo)
		if err := publishing(dir)(&cut); !errors.Is(err, errCrash) {
			t.Fatalf("a crash %s: %v", moment, err)
		}
		if versions, err := crashed.sees(crashed.device()); err != nil || !slices.Equal(versions, []string{"1.0.0"}) {
			t.Errorf("after a crash %s: %q, %v", moment, versions, err)
		}
		for _, path := range crashed.proofs() {
			if strings.Contains(path, "1.1.0") {
				os.Remove(path)
			}
		}
	}
	if done := w.publish(dir); done.LogSize != 2 {
		t.Errorf("published %+v", done)
	}
	w.mustSee(w.device(), "1.0.0", "1.1.0")
}
