package client_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
)

const (
	loggedRelease = product + "/1.1.0.json"
	customObject  = `{"counter":3,"hardware":["board-1"],"product":"base-unit","version":"1.1.0"}`
)

// logged is a repository with a log policy, and the log behind it.
type logged struct {
	*tuftest.Repo
	*tlogtest.World
	policy string
	proof  string // name of the proof of release
	raw    []byte // the proof
}

func newLogged(t *testing.T) *logged {
	t.Helper()
	l := &logged{Repo: newRepo(t), World: tlogtest.New(t, "fw.example.com/releases", 3)}
	l.AddTarget(product, loggedRelease, manifest(t))
	l.Targets[product].Signed.Targets[loggedRelease].Custom = jsonRaw([]byte(customObject))
	leaf, err := tlog.LeafOfManifest(manifest(t))
	must(t, err)
	entry, err := leaf.Encode()
	must(t, err)
	l.policy = l.Policy(2)
	l.raw = l.Prove(t, l.World.Open(t, t.TempDir()), l.policy, entry)
	l.proof = "targets/" + product + "/" + firmware.Sum(manifest(t)).String() + ".1.1.0.json" + tlogtest.Parse(t, l.policy).ProofSuffix()
	l.Serve(l.proof, l.raw)
	l.setPolicy(l.policy)
	return l
}

func (l *logged) setPolicy(text string) {
	l.AddTarget(metadata.TARGETS, tlog.PolicyPath, []byte(text))
	l.PublishAll()
}

func (d *device) install() error {
	ctx := context.Background()
	if err := d.client.Refresh(ctx); err != nil {
		return err
	}
	target, err := d.client.Target(ctx, loggedRelease)
	if err != nil {
		return err
	}
	_, err = d.client.Manifest(ctx, target)
	return err
}

func TestReleaseMustStandInTheLog(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	must(t, d.install())
	if got := d.versions().Policy; got != tlogtest.Parse(t, l.policy).ID() {
		t.Errorf("policy %q", got)
	}
	other := tlogtest.New(t, "fw.example.com/releases", 3)
	otherLeaf := other.Prove(t, other.Open(t, t.TempDir()), other.Policy(2), []byte("another entry"))
	for name, answer := range map[string]*tuftest.Response{
		"absent":          {Status: http.StatusNotFound},
		"cut":             {Status: http.StatusOK, Body: l.raw[:len(l.raw)/2]},
		"of another log":  {Status: http.StatusOK, Body: otherLeaf},
		"another index":   {Status: http.StatusOK, Body: bytes.Replace(l.raw, []byte("index 0"), []byte("index 1"), 1)},
		"nothing":         {Status: http.StatusOK},
		"one cosignature": {Status: http.StatusOK, Body: withoutLastLines(l.raw, 2)},
	} {
		l.Hook(func(asked string) *tuftest.Response {
			if asked == l.proof {
				return answer
			}
			return nil
		})
		if err := d.install(); !errors.Is(err, client.ErrNotLogged) {
			t.Errorf("%s: %v, want not_logged", name, err)
		}
	}
	l.Hook(func(asked string) *tuftest.Response {
		if asked == l.proof {
			return &tuftest.Response{Status: http.StatusOK, Body: make([]byte, tlog.MaxProof+1)}
		}
		return nil
	})
	if err := d.install(); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	l.Hook(nil)
	must(t, d.install())
}

func withoutLastLines(b []byte, n int) []byte {
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[:len(lines)-1-n], nil)
}

// A thief of the targets keys takes the policy out: devices that know it go on.
func TestPolicyStaysWhenTargetsForgetIt(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	must(t, d.refresh())
	delete(l.Targets[metadata.TARGETS].Signed.Targets, tlog.PolicyPath)
	l.PublishAll()
	l.Serve(l.proof, nil)
	for _, when := range []string{"at once", "after a restart"} {
		if err := d.install(); !errors.Is(err, client.ErrNotLogged) {
			t.Errorf("%s: %v", when, err)
		}
		d.restart()
	}
	l.Serve(l.proof, l.raw)
	must(t, d.install())
	if err := newDevice(t, l.Repo).install(); err != nil {
		t.Errorf("a device that has never seen a policy: %v", err)
	}
}

func TestPolicyIsReplacedByANewerOne(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	must(t, d.install())
	stricter := l.Policy(3)
	l.setPolicy(stricter)
	if err := d.install(); !errors.Is(err, client.ErrNotLogged) {
		t.Errorf("with the proof for the old policy: %v", err)
	}
	l.setPolicy("# no log any more\nquorum none\n")
	l.Serve(l.proof, nil)
	must(t, d.install())
	d.restart()
	must(t, d.install())
}

// After a key of snapshot was withdrawn, old targets can be shown once more.
func TestOlderPolicyDoesNotComeBack(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	_, oldTargets := l.Newest(metadata.TARGETS)
	oldMeta := *l.Snapshot.Signed.Meta["targets.json"]
	must(t, d.install())
	l.setPolicy(l.Policy(3))
	must(t, d.refresh())
	newer := d.versions().Policy

	l.Rotate(metadata.SNAPSHOT)
	l.Publish(metadata.ROOT)
	l.Put(metadata.TARGETS, oldMeta.Version, oldTargets)
	l.Snapshot.Signed.Meta["targets.json"] = &oldMeta
	l.Publish(metadata.SNAPSHOT, metadata.TIMESTAMP)
	must(t, d.refresh())
	if v := d.versions(); v.Roles["targets"] != oldMeta.Version || v.Policy != newer {
		t.Errorf("targets %d, policy %s, want %d and %s", v.Roles["targets"], v.Policy, oldMeta.Version, newer)
	}
}

// A thief of the targets keys has driven up their version. The root takes the keys away, and the next policy counts although
// its version is lower.
func TestPolicyAfterTargetsKeysWereStolen(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	must(t, d.install())
	good := l.Targets[metadata.TARGETS].Signed.Version
	l.Targets[metadata.TARGETS].Signed.Version = 500_000
	l.setPolicy(tlogtest.New(t, "thief.example/log", 0).Policy(0))
	must(t, d.refresh())

	l.Rotate(metadata.TARGETS)
	l.Rotate(metadata.SNAPSHOT)
	l.Publish(metadata.ROOT)
	l.Targets[metadata.TARGETS].Signed.Version = good
	l.setPolicy(l.policy)
	must(t, d.install())
	if got := d.versions().Policy; got != tlogtest.Parse(t, l.policy).ID() {
		t.Errorf("policy %s", got)
	}
}

func TestBadPolicyIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no policy": "hello\n", "too large": strings.Repeat("# much\n", 3000) + "quorum none\n", "web page": "<html>\n",
	} {
		l := newLogged(t)
		d := newDevice(t, l.Repo)
		must(t, d.install())
		l.setPolicy(text)
		if err := d.refresh(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if got := d.versions().Policy; got != tlogtest.Parse(t, l.policy).ID() {
			t.Errorf("%s: policy %s", name, got)
		}
	}
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	l.Serve("targets/"+firmware.Sum([]byte(l.policy)).String()+"."+tlog.PolicyPath, []byte("quorum none\n"))
	if err := d.refresh(); !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrCorrupt) {
		t.Errorf("another policy under the signed name: %v", err)
	}
}

// A poll that finds nothing new fetches no policy again.
func TestPolicyIsFetchedOnce(t *testing.T) {
	l := newLogged(t)
	d := newDevice(t, l.Repo)
	must(t, d.refresh())
	l.Requests()
	must(t, d.refresh())
	d.restart()
	must(t, d.refresh())
	for _, name := range l.Requests() {
		if strings.Contains(name, tlog.PolicyPath) {
			t.Errorf("asked for %s again", name)
		}
	}
}
