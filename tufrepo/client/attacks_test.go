package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// The attacks that the TUF specification names (1.5.2, "Goals to protect
// against specific attacks"), one test each. Slow retrieval is in
// httprate_test.go, with a clock of its own.

const release = product + "/1.0.0.json"

// forge signs as whoever, over whatever is in the fields.
func forge(r *tuftest.Repo, role string) {
	r.Keys[role] = []tuftest.Key{tuftest.NewKey("ed25519")}
}

func TestAttackArbitrarySoftware(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", product} {
		t.Run("unknown key signs "+role, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			forge(r, role)
			if role == "root" {
				r.Publish("root")
			}
			r.AddTarget(product, release, []byte("something else"))
			r.PublishAll()
			err := d.refresh()
			if err == nil {
				_, err = d.client.Target(context.Background(), release)
			}
			if !errors.Is(err, client.ErrSignature) {
				t.Fatalf("%v, want a refusal of the signature", err)
			}
		})
	}
	t.Run("other bytes under the right name", func(t *testing.T) {
		r := newRepo(t)
		d := newDevice(t, r)
		target, err := d.client.Target(context.Background(), release)
		must(t, err)
		for _, bytes := range []string{"THE manifest of 1.0.0", "the manifest of 1.0.0 and more", "short", ""} {
			r.AddTarget(product, release, []byte("the manifest of 1.0.0"))
			r.Hook(func(string) *tuftest.Response { return &tuftest.Response{Status: http.StatusOK, Body: []byte(bytes)} })
			err := d.client.Fetch(context.Background(), target, io.Discard)
			if err == nil {
				t.Errorf("took %q", bytes)
			}
		}
	})
}

func TestAttackRollback(t *testing.T) {
	for _, forget := range []string{"nothing", "cache", "floors"} {
		for _, role := range []string{"timestamp", "snapshot", "targets", product} {
			t.Run(role+", device forgets "+forget, func(t *testing.T) {
				r := newRepo(t)
				d := newDevice(t, r)
				d.mustRefresh()
				_, oldTimestamp := r.Newest("timestamp")
				r.PublishAll()
				r.PublishAll()
				d.mustRefresh()
				seen := d.versions()
				switch role {
				case "timestamp":
					r.Put("timestamp", 2, oldTimestamp)
				case "snapshot": // a thief of the timestamp key
					r.Timestamp.Signed.Meta["snapshot.json"].Version--
					r.Publish("timestamp")
				default: // a thief of the snapshot key
					r.Snapshot.Signed.Meta[role+".json"].Version--
					r.Publish("snapshot", "timestamp")
				}
				forgets(t, d, forget)
				d.refuses(client.ErrRollback)
				if v := d.versions(); v.Roles[role] != seen.Roles[role] || v.Roles["targets"] != seen.Roles["targets"] {
					t.Errorf("the floors fell from %+v to %+v", seen, v)
				}
			})
		}
	}
}

// forgets loses a part of the store.
func forgets(t *testing.T, d *device, what string) {
	t.Helper()
	switch what {
	case "cache":
		must(t, os.RemoveAll(filepath.Join(d.config.Dir, "metadata")))
	case "floors": // both generations
		for _, generation := range []string{"0", "1"} {
			must(t, os.WriteFile(filepath.Join(d.config.Dir, "floors."+generation), []byte("torn"), 0o600))
		}
	}
	d.restart()
}

func TestAttackRoleVanishes(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	delete(r.Snapshot.Signed.Meta, product+".json")
	r.Publish("snapshot", "timestamp")
	d.refuses(client.ErrRollback)
}

// TestAttackEquivocation gives two files one version.
func TestAttackEquivocation(t *testing.T) {
	for name, other := range map[string]func(r *tuftest.Repo){
		"timestamp": func(r *tuftest.Repo) {
			r.Timestamp.Signed.Version--
			r.Timestamp.Signed.Expires = r.Timestamp.Signed.Expires.AddDate(0, 0, 1)
			r.Publish("timestamp")
		},
		"snapshot": func(r *tuftest.Repo) {
			r.Snapshot.Signed.Version--
			r.Snapshot.Signed.Expires = r.Snapshot.Signed.Expires.AddDate(0, 0, 1)
			r.Publish("snapshot", "timestamp")
		},
		"product": func(r *tuftest.Repo) {
			r.Targets[product].Signed.Version--
			r.AddTarget(product, product+"/6.6.6.json", []byte("another"))
			r.Publish(product, "snapshot", "timestamp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			other(r)
			d.refuses(client.ErrConflict)
			must(t, os.RemoveAll(filepath.Join(d.config.Dir, "metadata")))
			d.restart()
			d.refuses(client.ErrConflict)
		})
	}
}

func TestAttackIndefiniteFreeze(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", product} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			day := today.AddDate(0, 0, 1)
			switch role {
			case "root":
				r.Root.Signed.Expires = day
				r.Publish("root")
			case "timestamp":
				r.Timestamp.Signed.Expires = day
			case "snapshot":
				r.Snapshot.Signed.Expires = day
			default:
				r.Targets[role].Signed.Expires = day
			}
			r.PublishAll()
			d := newDevice(t, r)
			d.mustRefresh()
			d.now = day.AddDate(0, 0, 1)
			err := d.refresh()
			if err == nil {
				_, err = d.client.Target(context.Background(), release)
			}
			var cause *client.ExpiredError
			if !errors.Is(err, client.ErrExpired) || !errors.As(err, &cause) {
				t.Fatalf("%v, want expired", err)
			}
			if cause.Role != role || !cause.Expires.Equal(day) || !cause.Now.Equal(d.now) {
				t.Errorf("%+v", cause)
			}
		})
	}
}

func TestAttackFastForward(t *testing.T) {
	timestamp := func(r *tuftest.Repo) *int64 { return &r.Timestamp.Signed.Version }
	snapshot := func(r *tuftest.Repo) *int64 { return &r.Snapshot.Signed.Version }
	targets := func(r *tuftest.Repo) *int64 { return &r.Targets["targets"].Signed.Version }
	role := func(r *tuftest.Repo) *int64 { return &r.Targets[product].Signed.Version }
	for name, c := range map[string]struct {
		forwarded func(r *tuftest.Repo) *int64
		withdrawn []string // keys that the thief had
		recovers  bool
	}{
		"timestamp":                  {timestamp, []string{"timestamp"}, true},
		"snapshot":                   {snapshot, []string{"timestamp", "snapshot"}, true},
		"targets":                    {targets, []string{"snapshot"}, true},
		"product":                    {role, []string{"snapshot"}, true},
		"timestamp, other withdrawn": {timestamp, []string{"snapshot"}, false},
		"snapshot, other withdrawn":  {snapshot, []string{"snapshot"}, false},
		"targets, other withdrawn":   {targets, []string{"timestamp"}, false},
		"none withdrawn":             {timestamp, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			good := *c.forwarded(r)
			*c.forwarded(r) += 1000
			r.PublishAll()
			d.mustRefresh()
			for _, key := range c.withdrawn {
				r.Rotate(key)
			}
			r.Publish("root")
			*c.forwarded(r) = good
			r.PublishAll()
			if c.recovers {
				d.mustRefresh()
				d.restart()
				d.mustRefresh()
			} else {
				d.refuses(client.ErrRollback)
			}
		})
	}
}

func TestAttackMixAndMatch(t *testing.T) {
	for _, role := range []string{"snapshot", "targets", product} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			_, old := r.Newest(role)
			r.PublishAll()
			version, _ := r.Newest(role)
			r.Put(role, version, old) // genuine, of another moment
			d := newDevice(t, r)
			err := d.refresh()
			if err == nil {
				_, err = d.client.Target(context.Background(), release)
			}
			if !errors.Is(err, client.ErrCorrupt) {
				t.Fatalf("%v, want corrupt", err)
			}
			// The same where parents name versions only.
			r.Hashes = false
			r.PublishAll()
			version, _ = r.Newest(role)
			r.Put(role, version, old)
			d = newDevice(t, r)
			if err = d.refresh(); err == nil {
				_, err = d.client.Target(context.Background(), release)
			}
			if !errors.Is(err, client.ErrRollback) {
				t.Fatalf("%v, want rollback", err)
			}
		})
	}
}

// TestAttackWrongTarget: a role speaks for paths that it was not given.
func TestAttackWrongTarget(t *testing.T) {
	r := newRepo(t)
	r.Delegate("targets", metadata.DelegatedRole{Name: "camera", Paths: []string{"camera/*"}, Terminating: true})
	for _, path := range []string{release, product + "/2.0.0.json", "camera/1.0.0.json", "camera/deep/1.0.0.json", "camera/.."} {
		r.AddTarget("camera", path, []byte("by the camera's engineers"))
	}
	r.PublishAll()
	d := newDevice(t, r)
	target, err := d.client.Target(context.Background(), release)
	if err != nil || target.Role != product {
		t.Fatalf("%s comes from %q, %v", release, target.Role, err)
	}
	for _, path := range []string{product + "/2.0.0.json", "camera/deep/1.0.0.json", "camera/..", "/" + release, "camera//1.0.0.json", "", "camera/1.0.0.json\x00"} {
		if got, err := d.client.Target(context.Background(), path); !errors.Is(err, client.ErrNoTarget) {
			t.Errorf("%q: %+v, %v", path, got, err)
		}
	}
	list, err := d.client.Targets(context.Background(), "camera")
	if err != nil || len(list) != 1 || list[0].Path != "camera/1.0.0.json" {
		t.Errorf("the camera's targets: %+v, %v", list, err)
	}
	if _, err := d.client.Targets(context.Background(), "toaster"); !errors.Is(err, client.ErrNoTarget) {
		t.Errorf("a product that is not there: %v", err)
	}
}

// TestAttackExtraneousDependencies: nothing but what was asked for is fetched,
// and a terminating role keeps others out even if it is silent.
func TestAttackExtraneousDependencies(t *testing.T) {
	r := newRepo(t)
	r.Delegate("targets", metadata.DelegatedRole{Name: "greedy", Paths: []string{"*/*"}})
	r.AddTarget("greedy", product+"/extra.json", []byte("more"))
	r.PublishAll()
	d := newDevice(t, r)
	if _, err := d.client.Target(context.Background(), product+"/extra.json"); !errors.Is(err, client.ErrNoTarget) {
		t.Fatalf("the terminating role was passed by: %v", err)
	}
	for _, name := range r.Requests() {
		if strings.Contains(name, "greedy") || strings.HasPrefix(name, "targets/") {
			t.Errorf("asked for %s", name)
		}
	}
}

func TestAttackEndlessData(t *testing.T) {
	for _, what := range []string{"root.json", "timestamp.json", "snapshot.json", "targets.json", product + ".json", "1.0.0.json"} {
		t.Run(what, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			source := &endless{Source: r, suffix: what}
			d.config.Source = source
			d.restart()
			err := d.refresh()
			if err == nil {
				var target client.Target
				if target, err = d.client.Target(context.Background(), release); err == nil {
					err = d.client.Fetch(context.Background(), target, io.Discard)
				}
			}
			if !errors.Is(err, client.ErrTooLarge) {
				t.Fatalf("%v, want too large", err)
			}
			if source.read > 600_000 {
				t.Errorf("read %d bytes before giving up", source.read)
			}
		})
	}
}

// endless answers for ever where a name ends in suffix.
type endless struct {
	client.Source
	suffix string
	read   int
}

func (e *endless) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasSuffix(name, e.suffix) {
		return io.NopCloser(e), nil
	}
	return e.Source.Open(ctx, name, offset, length)
}

func (e *endless) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{' '}, len(p)))
	e.read += len(p)
	return len(p), nil
}

// TestAttackMaliciousMirror: whatever a mirror answers, nothing is lost, and the
// next good answer serves.
func TestAttackMaliciousMirror(t *testing.T) {
	for name, answer := range map[string]tuftest.Response{
		"nothing": {Status: http.StatusNotFound}, "refusal": {Status: http.StatusForbidden}, "failure": {Status: http.StatusInternalServerError},
		"empty": {Status: http.StatusOK}, "garbage": {Status: http.StatusOK, Body: []byte("\x00\x01\x02")},
		"web page": {Status: http.StatusOK, Body: []byte("<!DOCTYPE html><title>Log in</title>")}, "other json": {Status: http.StatusOK, Body: []byte(`{"ok":true}`)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newHTTPDevice(t, r)
			d.mustRefresh()
			before := d.versions()
			r.PublishAll()
			for _, file := range []string{"2.root.json", "timestamp.json", "snapshot.json", "targets.json"} {
				r.Hook(func(asked string) *tuftest.Response {
					if strings.HasSuffix(asked, file) {
						return &answer
					}
					return nil
				})
				if file == "2.root.json" && (name == "nothing" || name == "refusal") {
					continue // which is normal
				}
				var typed *client.Error
				err := d.refresh()
				if !errors.As(err, &typed) {
					t.Fatalf("%s: %v, want an error with a class", file, err)
				}
				if name == "web page" && !errors.Is(err, client.ErrCaptive) {
					t.Errorf("%s: %v, want captive portal", file, err)
				}
			}
			r.Hook(nil)
			d.mustRefresh()
			if after := d.versions(); after.Timestamp != before.Timestamp+1 {
				t.Errorf("from %+v to %+v", before, after)
			}
		})
	}
}

// TestAttackKeyCompromise: fewer keys than the threshold are nothing.
func TestAttackKeyCompromise(t *testing.T) {
	r := newRepo(t)
	role := &r.Targets["targets"].Signed.Delegations.Roles[0]
	for range 2 {
		k := tuftest.NewKey("ecdsa")
		r.Targets["targets"].Signed.Delegations.Keys[k.ID] = k.TUF
		role.KeyIDs = append(role.KeyIDs, k.ID)
		r.Keys[product] = append(r.Keys[product], k)
	}
	role.Threshold = 2
	r.PublishAll()
	d := newDevice(t, r)
	d.mustRefresh()
	all := r.Keys[product]
	for name, keys := range map[string][]tuftest.Key{"one": all[:1], "none": {}, "one and a stranger": {all[0], tuftest.NewKey("ed25519")}} {
		r.Keys[product] = keys
		r.PublishAll()
		if err := d.refresh(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.client.Target(context.Background(), release); !errors.Is(err, client.ErrSignature) {
			t.Errorf("signed by %s: %v", name, err)
		}
	}
	r.Keys[product] = all[1:]
	r.PublishAll()
	d.mustRefresh()
	// One key under two ids is one key.
	twin := all[1].WithField("x-twin", "yes")
	r.Targets["targets"].Signed.Delegations.Keys[twin.ID] = twin.TUF
	role.KeyIDs = append(role.KeyIDs, twin.ID)
	r.Keys[product] = []tuftest.Key{all[1], twin}
	r.PublishAll()
	must(t, d.refresh())
	if _, err := d.client.Target(context.Background(), release); !errors.Is(err, client.ErrSignature) {
		t.Errorf("one key twice: %v", err)
	}
	// And a threshold of nothing is not a way in.
	role.Threshold = 0
	r.PublishAll()
	must(t, d.refresh())
	if _, err := d.client.Target(context.Background(), release); !errors.Is(err, client.ErrSignature) {
		t.Errorf("threshold 0: %v", err)
	}
}
