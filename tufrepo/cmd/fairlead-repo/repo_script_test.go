package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// The scripts of testdata/repo run the real commands. Beside testscript's own words they may use:
//
//	exits CODE command...              the command must end with this exit code
//	first REPO BUNDLE                  a bundle with root, targets and release 1.0.0, signed by all
//	release REPO BUNDLE VERSION COUNTER [SIGNERS]
//	                                   the next release, signed by SIGNERS (default: both) of two
//	newroot REPO BUNDLE                the next root, which names the key timestamp-2
//	alter GLOB                         flips the last bit of the one file that matches
//	logged REPO BUNDLE                 as first, with the policy of the repository's log
//	started FILE                       waits until FILE is there
//	lock REPO, unlock                  another publisher is at work, or has ended
func TestRepoScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/repo",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a program built with -race sleeps for a second when it ends
			e.Values[scriptState{}] = &scriptState{t: e.T().(testing.TB)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "first": scriptFirst, "release": scriptRelease, "newroot": scriptNewRoot, "alter": scriptAlter,
			"lock": scriptLock, "unlock": scriptUnlock, "logged": scriptLogged, "started": scriptStarted,
		},
	})
}

// scriptState is what one script has besides its folder.
type scriptState struct {
	t      testing.TB
	people *repotest.People
	lock   *durable.Lock
}

func stateOf(ts *testscript.TestScript) *scriptState {
	return ts.Value(scriptState{}).(*scriptState)
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func scriptKey(ts *testscript.TestScript, repo, name string) keyfile.Signer {
	key, err := keyfile.Load(filepath.Join(repo, "state/keys", name+".key"), nil)
	ts.Check(err)
	s, err := keyfile.NewSigner(key)
	ts.Check(err)
	return s
}

func scriptFirst(ts *testscript.TestScript, _ bool, args []string) {
	repo, dir, s := ts.MkAbs(args[0]), ts.MkAbs(args[1]), stateOf(ts)
	s.people = &repotest.People{
		Root: repotest.Keys(s.t, 3), Targets: repotest.Keys(s.t, 1), Product: repotest.Keys(s.t, 2),
		Timestamp: scriptKey(ts, repo, "timestamp"), Snapshot: scriptKey(ts, repo, "snapshot"),
	}
	s.people.Genesis(s.t, dir, time.Now(), repotest.Product)
	s.people.Release(s.t, dir, time.Now(), nil, repotest.Product, "1.0.0", 1, repotest.Image("one", 300_000))
}

func scriptBase(ts *testscript.TestScript, repo string) *bundle.Base {
	b, err := bundle.LoadBase(os.DirFS(repo), nil)
	ts.Check(err)
	return b
}

func scriptRelease(ts *testscript.TestScript, _ bool, args []string) {
	s, dir, version := stateOf(ts), ts.MkAbs(args[1]), args[2]
	counter, err := strconv.ParseInt(args[3], 10, 64)
	ts.Check(err)
	people := *s.people
	if len(args) > 4 {
		n, err := strconv.Atoi(args[4])
		ts.Check(err)
		people.Product = people.Product[:n]
	}
	old := scriptBase(ts, ts.MkAbs(args[0])).Role(repotest.Product)
	people.Release(s.t, dir, time.Now(), old, repotest.Product, version, counter, repotest.Image("v"+version, 300_000))
}

func scriptLogged(ts *testscript.TestScript, neg bool, args []string) {
	scriptFirst(ts, neg, args)
	repo, dir, s := ts.MkAbs(args[0]), ts.MkAbs(args[1]), stateOf(ts)
	policy, err := os.ReadFile(filepath.Join(repo, "state/log/policy.txt"))
	ts.Check(err)
	m := s.people.NewTargets(1, time.Now(), repotest.Product)
	m.Signed.Targets[tlog.PolicyPath] = bundle.PolicyTarget(policy)
	repotest.Put(s.t, dir, "metadata/1.targets.json", repotest.Sign(s.t, m, s.people.Targets...))
	repotest.Put(s.t, dir, "targets/"+tlog.PolicyPath, policy)
}

func scriptStarted(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not come", args[0])
		}
	}
}

func scriptNewRoot(ts *testscript.TestScript, _ bool, args []string) {
	repo, s := ts.MkAbs(args[0]), stateOf(ts)
	s.people.Timestamp = scriptKey(ts, repo, "timestamp-2")
	next := scriptBase(ts, repo).Root().Signed.Version + 1
	raw := repotest.Sign(s.t, s.people.NewRoot(next, time.Now()), s.people.Root...)
	repotest.Put(s.t, ts.MkAbs(args[1]), bundle.MetadataName(next, metadata.ROOT), raw)
}

func scriptAlter(ts *testscript.TestScript, _ bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s matches %q", args[0], found)
	}
	raw, err := os.ReadFile(found[0])
	ts.Check(err)
	raw[len(raw)-1] ^= 1
	ts.Check(os.WriteFile(found[0], raw, 0o644))
}

func scriptLock(ts *testscript.TestScript, _ bool, args []string) {
	l, err := durable.TryLock(filepath.Join(ts.MkAbs(args[0]), "state/lock"))
	ts.Check(err)
	stateOf(ts).lock = l
}

func scriptUnlock(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(stateOf(ts).lock.Unlock()) }

// Every command explains itself: what it does, and an example of it.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{"init"}, {"key", "new"}, {"key", "add"}, {"key", "list"}, {"publish"}, {"renew"}, {"gc"}, {"status"}, {"pack"}, {"mirror"},
		{"log", "init"}, {"log", "show"}, {"log", "add"}, {"witness"},
	} {
		var out, errs strings.Builder
		line := append([]string{"fairlead-repo"}, append(args, "--help")...)
		if code := run(t.Context(), line, &out, &errs); code != 0 {
			t.Errorf("%q: exit code %d, %s", line, code, errs.String())
		}
		for _, want := range []string{"Example", "fairlead-repo " + strings.Join(args, " ") + " ", "--json"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q does not say %q", line, want)
			}
		}
	}
}
