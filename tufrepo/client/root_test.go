package client_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// newRootsRepo publishes n roots after the first, each by the same key.
func newRootsRepo(t *testing.T, n int) *tuftest.Repo {
	r := newRepo(t)
	for range n {
		r.Publish("root")
	}
	return r
}

func TestWalkStopsAndGoesOn(t *testing.T) {
	for _, c := range []struct{ roots, sittings int }{{3, 1}, {4, 1}, {5, 2}, {8, 2}, {9, 3}} {
		t.Run(fmt.Sprint(c.roots), func(t *testing.T) {
			r := newRootsRepo(t, c.roots)
			d := newDevice(t, r)
			d.config.Limits.RootRotations = 4
			d.restart()
			for range c.sittings - 1 {
				if err := d.refresh(); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "refresh again") {
					t.Fatalf("%v, want to be asked to go on", err)
				}
				d.restart()
			}
			d.mustRefresh()
			if v := d.versions(); v.Root != int64(c.roots)+1 {
				t.Errorf("root version %d, want %d", v.Root, c.roots+1)
			}
		})
	}
}

// TestWalkSurvivesInterruption ends the network after each step in turn.
func TestWalkSurvivesInterruption(t *testing.T) {
	r := newRootsRepo(t, 5)
	for last := 1; last <= 6; last++ {
		d := newDevice(t, r)
		r.Hook(func(name string) *tuftest.Response {
			if name == fmt.Sprintf("metadata/%d.root.json", last+1) {
				return &tuftest.Response{Status: 500}
			}
			return nil
		})
		d.refuses(client.ErrUnavailable)
		r.Hook(nil)
		d.restart()
		if v := d.versions(); v.Root != int64(last) {
			t.Fatalf("after step %d the device has root %d", last, v.Root)
		}
		r.Requests()
		d.mustRefresh()
		if first := r.Requests()[0]; first != fmt.Sprintf("metadata/%d.root.json", last+1) {
			t.Errorf("after step %d the walk goes on at %s", last, first)
		}
	}
}

// TestRefusedRootIsNotKept: a root that failed once must not be trusted later.
func TestRefusedRootIsNotKept(t *testing.T) {
	for name, bad := range map[string]func(r *tuftest.Repo){
		"signed by new keys only": func(r *tuftest.Repo) { r.Rotate("root"); r.Publish("root") },
		"signed by old keys only": func(r *tuftest.Repo) {
			old := r.Keys["root"]
			r.Rotate("root")
			r.Keys["root"] = old
			r.Publish("root")
		},
		"skips a version": func(r *tuftest.Repo) {
			r.Root.Signed.Version++
			r.Publish("root")
			version, raw := r.Newest("root")
			r.Put("root", version-1, raw)
		},
		"same version again": func(r *tuftest.Repo) { r.Put("root", 2, r.Version("root", 1)) },
		"altered": func(r *tuftest.Repo) {
			r.Publish("root")
			r.Edit("root", func(b []byte) []byte { return slices.Replace(b, 20, 21, 'X') })
		},
		"another specification": func(r *tuftest.Repo) { r.Root.Signed.SpecVersion = "2.0.0"; r.Publish("root") },
		"another type":          func(r *tuftest.Repo) { _, raw := r.Newest("targets"); r.Put("root", 2, raw) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			bad(r)
			var typed *client.Error
			for range 2 {
				if err := d.refresh(); !errors.As(err, &typed) {
					t.Fatalf("%v, want an error with a class", err)
				}
				if v := d.versions(); v.Root != 1 {
					t.Fatalf("root version %d is trusted", v.Root)
				}
				d.restart()
			}
		})
	}
}

// TestStoredRootMustVerify: the store holds another repository's root.
func TestStoredRootMustVerify(t *testing.T) {
	r, other := newRepo(t), newRepo(t)
	r.Publish("root")
	d := newDevice(t, r)
	d.mustRefresh()
	path := filepath.Join(d.config.Dir, "metadata", "root.json")
	for name, raw := range map[string][]byte{"another's root": other.Version("root", 1), "another's of the same version": publishRoot(other)} {
		must(t, os.WriteFile(path, raw, 0o600))
		d.restart()
		d.mustRefresh()
		if string(mustRead(t, path)) != string(r.Version("root", 2)) {
			t.Errorf("%s: the root file was not put right", name)
		}
	}
}

func publishRoot(r *tuftest.Repo) []byte {
	r.Publish("root")
	_, raw := r.Newest("root")
	return raw
}

// TestExpiredRootOnTheWay: only the last root must not be expired.
func TestExpiredRootOnTheWay(t *testing.T) {
	r := newRepo(t)
	r.Root.Signed.Expires = today.AddDate(0, -1, 0)
	r.Publish("root")
	d := newDevice(t, r)
	d.refuses(client.ErrExpired)
	if v := d.versions(); v.Root != 2 {
		t.Errorf("root version %d: it is kept before its expiry is looked at", v.Root)
	}
	r.Root.Signed.Expires = expires()
	r.Publish("root")
	d.mustRefresh()
}

func TestPinnedRootMustBeGood(t *testing.T) {
	r := newRepo(t)
	good := r.Version("root", 1)
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)/2], "unsigned": []byte(strings.Replace(string(good), `"sig":"`, `"sig":"00`, 1)),
		"no version": []byte(strings.Replace(string(good), `"version":1`, `"x":1`, 1)), "too long": append(slices.Clone(good), make([]byte, 600_000)...),
	} {
		_, err := client.Open(client.Config{Root: bad, Source: r})
		var typed *client.Error
		if !errors.As(err, &typed) {
			t.Errorf("%s: %v, want an error with a class", name, err)
		}
	}
	if got := r.Requests(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

// TestInMemory keeps nothing, and works.
func TestInMemory(t *testing.T) {
	r := newRootsRepo(t, 2)
	d := newDevice(t, r)
	d.config.Dir = ""
	d.restart()
	d.mustRefresh()
	if v := d.versions(); v.Root != 3 || v.Roles["targets"] != 2 {
		t.Errorf("trusts %+v", v)
	}
	r.Requests()
	d.mustRefresh()
	if got := r.Requests(); len(got) != 2 {
		t.Errorf("the second refresh asks for %v", got)
	}
	d.restart()
	if v := d.versions(); v.Root != 1 || v.Timestamp != 0 {
		t.Errorf("after a restart it trusts %+v", v)
	}
}
