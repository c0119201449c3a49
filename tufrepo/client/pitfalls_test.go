package client_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// What go-tuf v2.4.2's updater gets wrong on a device, one test each.

// zeros is a large file that nobody holds in memory.
type zeros struct{ length int64 }

func (z zeros) Open(_ context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	if length < 0 {
		length = z.length - offset
	}
	return io.NopCloser(io.LimitReader(zeroReader{}, length)), nil
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// routed takes targets from elsewhere.
type routed struct{ metadata, targets client.Source }

func (r routed) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasPrefix(name, "targets/") {
		return r.targets.Open(ctx, name, offset, length)
	}
	return r.metadata.Open(ctx, name, offset, length)
}

// go-tuf holds a target in memory, twice and more.
func TestP01FetchStreams(t *testing.T) {
	const length = 64 << 20
	r := newRepo(t)
	r.AddTarget(product, product+"/big", make([]byte, length))
	r.PublishAll()
	r.Serve("targets/"+product+"/big", nil)
	d := newDevice(t, r)
	d.config.Source = routed{r, zeros{length}}
	d.restart()
	target, err := d.client.Target(context.Background(), product+"/big")
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := d.client.Fetch(context.Background(), target, io.Discard); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("fetching %d bytes allocated %d", length, used)
	}
}

// go-tuf picks the hash in a target's file name at random.
func TestP02HashInNameIsAlwaysTheSame(t *testing.T) {
	r := newRepo(t)
	r.AddTarget(product, product+"/two", []byte("two hashes"), "sha256", "sha512")
	r.PublishAll()
	d := newDevice(t, r)
	target, err := d.client.Target(context.Background(), product+"/two")
	if err != nil {
		t.Fatal(err)
	}
	want := "targets/" + product + "/" + firmware.Sum([]byte("two hashes")).String() + ".two"
	for range 20 {
		r.Requests()
		if err := d.client.Fetch(context.Background(), target, io.Discard); err != nil {
			t.Fatal(err)
		}
		if got := r.Requests(); !slices.Equal(got, []string{want}) {
			t.Fatalf("asked for %v, want %s", got, want)
		}
	}
}

// Unsigned metadata that makes go-tuf dereference nil.
func TestP03UnsignedPanicIsAnError(t *testing.T) {
	for name, bad := range map[string]string{
		"null target":       `{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"expires":"2030-01-01T00:00:00Z","targets":{"a":null}},"signatures":[]}`,
		"null delegations":  `{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"expires":"2030-01-01T00:00:00Z","targets":{},"delegations":null},"signatures":[]}`,
		"not an object":     `[]`,
		"nothing":           ``,
		"signed is a list":  `{"signed":[],"signatures":[]}`,
		"deep":              strings.Repeat("[", 100_000),
		"two versions":      `{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"version":4,"expires":"2030-01-01T00:00:00Z","targets":{}},"signatures":[]}`,
		"version and twin":  `{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"Version":4,"expires":"2030-01-01T00:00:00Z","targets":{}},"signatures":[]}`,
		"key in delegation": `{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"expires":"2030-01-01T00:00:00Z","targets":{},"delegations":{"keys":{"k":null},"roles":[{"name":"a","keyids":["k"],"threshold":1,"paths":["*"]}]}},"signatures":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.Hashes = false
			r.PublishAll()
			d := newDevice(t, r)
			d.mustRefresh()
			r.Publish("targets", "snapshot", "timestamp")
			r.Edit("targets", func([]byte) []byte { return []byte(bad) })
			var typed *client.Error
			if err := d.refresh(); !errors.As(err, &typed) || typed.Class == "" {
				t.Fatalf("%v, want an error with a class", err)
			}
			r.Publish("targets", "snapshot", "timestamp")
			d.mustRefresh()
		})
	}
}

// Metadata that is signed and makes go-tuf panic.
func TestP04SignedPanicIsAnError(t *testing.T) {
	for name, hostile := range map[string]func(r *tuftest.Repo){
		"timestamp without snapshot": func(r *tuftest.Repo) {
			r.Timestamp.Signed.Meta = map[string]*metadata.MetaFiles{}
			r.Publish("timestamp")
		},
		"timestamp with null": func(r *tuftest.Repo) {
			r.Timestamp.Signed.Meta["snapshot.json"] = nil
			r.Publish("timestamp")
		},
		"snapshot with null": func(r *tuftest.Repo) {
			r.Snapshot.Signed.Meta["targets.json"] = nil
			r.Publish("snapshot", "timestamp")
		},
		"target null": func(r *tuftest.Repo) {
			r.Targets["targets"].Signed.Targets["a"] = nil
			r.Publish("targets", "snapshot", "timestamp")
		},
		"root with null role": func(r *tuftest.Repo) {
			r.Root.Signed.Roles["snapshot"] = nil
			r.Publish("root")
		},
		"root with null key": func(r *tuftest.Repo) {
			r.Root.Signed.Keys[r.Keys["root"][0].ID] = nil
			r.Publish("root")
		},
		"root with a short key": func(r *tuftest.Repo) {
			k := tuftest.NewKey("ed25519")
			k.TUF.Value.PublicKey = "00"
			r.AddKey("root", k)
			r.Root.Signed.Roles["root"].Threshold = 2
			r.Publish("root")
		},
		"negative target length": func(r *tuftest.Repo) {
			r.AddTarget("targets", "a", []byte("a"))
			r.Targets["targets"].Signed.Targets["a"].Length = -1
			r.Publish("targets", "snapshot", "timestamp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			hostile(r)
			var typed *client.Error
			if err := d.refresh(); !errors.As(err, &typed) || typed.Class == "" {
				t.Fatalf("%v, want an error with a class", err)
			}
			if v := d.versions(); v.Root != 1 {
				t.Errorf("trusts %+v", v)
			}
		})
	}
}

// A torn file in go-tuf's cache ends updates for good.
func TestP05TornCacheHeals(t *testing.T) {
	for _, file := range []string{"root", "timestamp", "snapshot", "targets", product} {
		for name, damage := range map[string]func(t *testing.T, path string){
			"empty":     func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) },
			"truncated": func(t *testing.T, path string) { must(t, os.Truncate(path, 40)) },
			"garbage":   func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("\x00\xff{}garbage"), 0o600)) },
			"huge":      func(t *testing.T, path string) { must(t, os.Truncate(path, 1<<40)) },
			"folder": func(t *testing.T, path string) {
				must(t, os.Remove(path))
				must(t, os.MkdirAll(filepath.Join(path, "in", "it"), 0o700))
			},
			"link": func(t *testing.T, path string) {
				must(t, os.Rename(path, path+".moved"))
				must(t, os.Symlink(path+".moved", path))
			},
			"pipe": func(t *testing.T, path string) {
				must(t, os.Remove(path))
				must(t, mkfifo(path))
			},
			"missing": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		} {
			t.Run(file+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRepo(t)
				r.Publish("root")
				d := newDevice(t, r)
				d.mustRefresh()
				path := filepath.Join(d.config.Dir, "metadata", file+".json")
				want := mustRead(t, path)
				damage(t, path)
				d.restart()
				d.mustRefresh()
				info, err := os.Lstat(path)
				if got := mustRead(t, path); err != nil || !info.Mode().IsRegular() || !bytes.Equal(got, want) {
					t.Errorf("the file has not healed")
				}
				if v := d.versions(); v.Root != 2 {
					t.Errorf("root version %d, want 2", v.Root)
				}
			})
		}
	}
}

// go-tuf leaves temporary files behind a crash, and syncs nothing. That ours are
// durable is tested where they are written; here: leftovers go.
func TestP06LeftoversAreSwept(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	var left []string
	for _, dir := range []string{d.config.Dir, filepath.Join(d.config.Dir, "metadata")} {
		left = append(left, filepath.Join(dir, ".tmp-123"))
		must(t, os.WriteFile(left[len(left)-1], []byte("torn"), 0o600))
	}
	d.restart()
	d.mustRefresh()
	for _, path := range left {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

// go-tuf lets the pinned root of the factory take the place of a newer one.
func TestP07RootNeverFalls(t *testing.T) {
	r := newRepo(t)
	for range 3 {
		r.Rotate("timestamp")
		r.Publish("root")
	}
	r.Publish("timestamp")
	withhold := func(name string) *tuftest.Response {
		if strings.HasSuffix(name, ".root.json") {
			return &tuftest.Response{Status: http.StatusNotFound}
		}
		return nil
	}
	t.Run("stored root survives", func(t *testing.T) {
		d := newDevice(t, r)
		d.mustRefresh()
		r.Hook(withhold)
		defer r.Hook(nil)
		d.restart()
		d.mustRefresh()
		if v := d.versions(); v.Root != 4 {
			t.Errorf("root version %d, want 4", v.Root)
		}
	})
	t.Run("stored root lost and newer ones withheld", func(t *testing.T) {
		d := newDevice(t, r)
		d.mustRefresh()
		must(t, os.Remove(filepath.Join(d.config.Dir, "metadata", "root.json")))
		r.Hook(withhold)
		d.restart()
		d.refuses(client.ErrRollback)
		r.Hook(nil)
		d.mustRefresh()
	})
	t.Run("newer pinned root wins", func(t *testing.T) {
		d := newDevice(t, r)
		d.mustRefresh()
		r.Publish("root")
		d.config.Root = r.Version("root", 5)
		r.Hook(withhold)
		defer r.Hook(nil)
		d.restart()
		d.mustRefresh()
		if v := d.versions(); v.Root != 5 {
			t.Errorf("root version %d, want 5", v.Root)
		}
	})
}

// go-tuf's fetcher waits for ever, on a client that the whole program shares.
func TestP08StalledServerIsLeft(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	r := newRepo(t)
	d := newDevice(t, r)
	d.config.Source = client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{Response: 20 * time.Millisecond})
	d.restart()
	d.refuses(client.ErrUnavailable)
	if http.DefaultClient.Transport != nil || http.DefaultClient.Timeout != 0 {
		t.Error("http.DefaultClient was changed")
	}
}

// Object stores answer 403 for a key that is not there.
func TestP09ForbiddenRootIsTheLast(t *testing.T) {
	r := newRepo(t)
	r.Publish("root")
	r.Hook(func(name string) *tuftest.Response {
		if name == "metadata/3.root.json" {
			return &tuftest.Response{Status: http.StatusForbidden}
		}
		return nil
	})
	d := newHTTPDevice(t, r)
	d.mustRefresh()
	if v := d.versions(); v.Root != 2 {
		t.Errorf("root version %d, want 2", v.Root)
	}
	r.Hook(func(name string) *tuftest.Response {
		if name == "metadata/timestamp.json" || name == "metadata/3.root.json" {
			return &tuftest.Response{Status: http.StatusForbidden}
		}
		return nil
	})
	d.refuses(client.ErrUnavailable)
}

// A length in a parent lifts go-tuf's limit.
func TestP10AnnouncedLengthCannotLiftTheLimit(t *testing.T) {
	for _, role := range []string{"snapshot", "targets", product} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			r.Publish(product, "targets", "snapshot")
			if role == "snapshot" {
				r.Timestamp.Signed.Meta["snapshot.json"].Length = 1 << 40
			} else {
				r.Snapshot.Signed.Meta[role+".json"].Length = 1 << 40
				r.Publish("snapshot")
			}
			r.Publish("timestamp")
			r.Requests()
			err := d.refresh()
			if role == product && err == nil {
				_, err = d.client.Target(context.Background(), product+"/1.0.0.json")
			}
			if !errors.Is(err, client.ErrTooLarge) {
				t.Fatalf("%v, want too large", err)
			}
			for _, name := range r.Requests() {
				if strings.HasSuffix(name, "."+role+".json") {
					t.Errorf("asked for %s all the same", name)
				}
			}
		})
	}
}

// One key of a kind that go-tuf does not know fails the whole role.
func TestP11UnknownKeysAreNotCounted(t *testing.T) {
	future := tuftest.NewKey("ed25519")
	future.TUF.Type, future.TUF.Scheme, future.TUF.Value.PublicKey = "ml-dsa", "ml-dsa-44", "AAAA"
	t.Run("threshold met by others", func(t *testing.T) {
		r := newRepo(t)
		d := newDevice(t, r)
		for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
			r.AddKey(role, future)
		}
		delegations := r.Targets["targets"].Signed.Delegations
		delegations.Keys[future.ID] = future.TUF
		delegations.Roles[0].KeyIDs = append(delegations.Roles[0].KeyIDs, future.ID, "no such key")
		r.Publish("root")
		r.PublishAll()
		d.mustRefresh()
		d.restart()
		d.mustRefresh()
		if v := d.versions(); v.Root != 2 {
			t.Errorf("root version %d, want 2", v.Root)
		}
	})
	t.Run("threshold not met without it", func(t *testing.T) {
		r := newRepo(t)
		d := newDevice(t, r)
		r.AddKey("timestamp", future)
		r.Root.Signed.Roles["timestamp"].Threshold = 2
		r.Publish("root", "timestamp")
		d.refuses(client.ErrSignature)
	})
	t.Run("only such keys", func(t *testing.T) {
		r := newRepo(t)
		d := newDevice(t, r)
		r.Root.Signed.Roles["timestamp"].KeyIDs = []string{}
		r.AddKey("timestamp", future)
		r.Publish("root", "timestamp")
		d.refuses(client.ErrSignature)
	})
}

// A role verified under one delegator counts, in go-tuf, under any other.
func TestP12RoleIsVerifiedUnderEachDelegator(t *testing.T) {
	r := tuftest.New(expires())
	r.Delegate("targets", metadata.DelegatedRole{Name: "a", Paths: []string{"a/*"}})
	r.Delegate("targets", metadata.DelegatedRole{Name: "b", Paths: []string{"b/*"}})
	r.Delegate("a", metadata.DelegatedRole{Name: "c", Paths: []string{"a/*"}})
	r.Delegate("b", metadata.DelegatedRole{Name: "c", Paths: []string{"b/*"}})
	r.Keys["c"] = r.Keys["c"][:1] // c signs with the key that only a names
	r.AddTarget("c", "a/file", []byte("a"))
	r.AddTarget("c", "b/file", []byte("b"))
	r.PublishAll()
	d := newDevice(t, r)
	for range 2 {
		if _, err := d.client.Target(context.Background(), "a/file"); err != nil {
			t.Fatalf("through a: %v", err)
		}
		if got, err := d.client.Target(context.Background(), "b/file"); !errors.Is(err, client.ErrSignature) {
			t.Fatalf("through b: %v, %v, want a refusal", got, err)
		}
		d.restart() // and so it is with what lies in the cache
	}
}

// A delegated role named like a top-level one takes its place in go-tuf's cache.
func TestP13RoleNamesStayInTheirPlace(t *testing.T) {
	for _, name := range []string{"root", "timestamp", "snapshot"} {
		r := newRepo(t)
		d := newDevice(t, r)
		d.mustRefresh()
		version, role := r.Newest(product)
		r.Targets["targets"].Signed.Delegations.Roles[0].Name = name
		r.Snapshot.Signed.Meta[name+".json"] = r.Snapshot.Signed.Meta[product+".json"]
		r.Publish("targets", "snapshot", "timestamp")
		r.Hook(func(asked string) *tuftest.Response {
			if asked == fmt.Sprintf("metadata/%d.%s.json", version, name) {
				return &tuftest.Response{Status: http.StatusOK, Body: role}
			}
			return nil
		})
		must(t, d.refresh())
		if _, err := d.client.Target(context.Background(), release); !errors.Is(err, client.ErrFormat) {
			t.Errorf("a delegation to %q: %v", name, err)
		}
		r.Hook(nil)
		d.restart()
		if err := d.refresh(); err != nil {
			t.Errorf("after a delegation to %q: %v", name, err)
		}
	}
	for _, name := range []string{"../../escaped", "/etc/x", "a/b", ".", "..", ".tmp-x", "a\x00b", "%2e%2e", "é", strings.Repeat("x", 80), strings.Repeat("/", 80)} {
		r := tuftest.New(expires())
		r.Delegate("targets", metadata.DelegatedRole{Name: name, Paths: []string{"*"}})
		r.AddTarget(name, "file", []byte("content"))
		r.PublishAll()
		d := newDevice(t, r)
		d.config.Dir = filepath.Join(d.config.Dir, "deep", "er")
		d.restart()
		for range 2 {
			if _, err := d.client.Target(context.Background(), "file"); err != nil {
				t.Errorf("role %q: %v", name, err)
			}
			d.restart()
		}
		entries, err := os.ReadDir(filepath.Join(d.config.Dir, "metadata"))
		if err != nil || len(entries) != 4 {
			t.Errorf("role %q: the cache holds %v, %v", name, entries, err)
		}
	}
}

// go-tuf's offline mode goes to the network for what is not cached.
func TestP14OfflineNeverAsksTheNetwork(t *testing.T) {
	r := newRepo(t)
	folder := fstest.MapFS{}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for _, name := range []string{"metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json", "metadata/1." + product + ".json",
		"targets/" + product + "/" + firmware.Sum([]byte("the manifest of 1.0.0")).String() + ".1.0.0.json"} {
		body, err := r.Open(context.Background(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(body)
		folder[name] = &fstest.MapFile{Data: b}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		must(t, err)
		_, err = w.Write(b)
		must(t, err)
	}
	must(t, z.Close())
	archive, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	must(t, err)
	for name, source := range map[string]client.Source{"folder": client.FSSource(folder), "zip": client.FSSource(archive)} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, r)
			d.config.Source = source
			d.restart()
			d.mustRefresh()
			target, err := d.client.Target(context.Background(), product+"/1.0.0.json")
			if err != nil {
				t.Fatal(err)
			}
			if err := d.client.Fetch(context.Background(), target, io.Discard); err != nil {
				t.Fatal(err)
			}
			// Expired metadata keeps nobody from opening the store and asking.
			d.now = today.AddDate(5, 0, 0)
			d.restart()
			if v := d.versions(); v.Roles[product] != 1 {
				t.Errorf("trusts %+v", v)
			}
			d.refuses(client.ErrExpired)
		})
	}
}

// A thief of the timestamp key signs the last number there is.
func TestP15VersionsDoNotLeap(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	fresh := newDevice(t, r)
	for _, version := range []int64{math.MaxInt64, 2_000_000} {
		r.Timestamp.Signed.Version = version - 1
		r.Publish("timestamp")
		d.refuses(client.ErrRollback)
		fresh.refuses(client.ErrRollback)
	}
	r.Timestamp.Signed.Version = 2
	r.Publish("timestamp")
	d.mustRefresh()
	fresh.mustRefresh()
	r.Timestamp.Signed.Meta["snapshot.json"].Version = math.MaxInt64
	r.Publish("timestamp")
	d.refuses(client.ErrRollback)
	r.Snapshot.Signed.Meta["targets.json"].Version = math.MaxInt64
	r.Publish("snapshot", "timestamp")
	d.refuses(client.ErrRollback)
	if v := d.versions(); v.Roles["targets"] != 2 {
		t.Errorf("trusts %+v", v)
	}
}

// go-tuf writes the whole document anew for each key of a role.
func TestP16KeysPerRoleAreLimited(t *testing.T) {
	for name, crowd := range map[string]func(r *tuftest.Repo){
		"root": func(r *tuftest.Repo) {
			ids := slices.Repeat([]string{r.Keys["timestamp"][0].ID}, 33)
			r.Root.Signed.Roles["timestamp"].KeyIDs = ids
			r.Publish("root")
		},
		"delegation": func(r *tuftest.Repo) {
			role := &r.Targets["targets"].Signed.Delegations.Roles[0]
			role.KeyIDs = slices.Repeat(role.KeyIDs, 33)
			r.Publish("targets", "snapshot", "timestamp")
		},
		"signatures": func(r *tuftest.Repo) {
			for range 32 {
				r.Keys["timestamp"] = append(r.Keys["timestamp"], tuftest.NewKey("ed25519"))
			}
			r.Publish("timestamp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			crowd(r)
			d.refuses(client.ErrFormat)
		})
	}
}

// go-tuf's multirepo compares length and hashes of two repositories, not what
// they say beside, and panics on an empty configuration.
func TestP17WhatTheRoleSaysIsComparedWithTheManifest(t *testing.T) {
	good := `{"counter":3,"hardware":["board-1"],"product":"base-unit","version":"1.1.0"}`
	for name, says := range map[string]string{
		"good":           good,
		"other counter":  strings.Replace(good, "3", "4", 1),
		"other hardware": strings.Replace(good, "board-1", "board-2", 1),
		"other version":  strings.Replace(good, "1.1.0", "1.2.0", 1),
		"no counter":     strings.Replace(good, `"counter":3,`, "", 1),
		"a list":         `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.AddTarget(product, product+"/1.1.0.json", manifest(t))
			raw := []byte(says)
			r.Targets[product].Signed.Targets[product+"/1.1.0.json"].Custom = jsonRaw(raw)
			r.PublishAll()
			d := newDevice(t, r)
			target, err := d.client.Target(context.Background(), product+"/1.1.0.json")
			if err != nil {
				t.Fatal(err)
			}
			m, err := d.client.Manifest(context.Background(), target)
			if name == "good" {
				if err != nil || m.Counter != 3 {
					t.Fatalf("%+v, %v", m, err)
				}
				return
			}
			if !errors.Is(err, client.ErrFormat) {
				t.Fatalf("%+v, %v, want a refusal", m, err)
			}
		})
	}
	r := newRepo(t)
	r.AddTarget(product, product+"/9.9.9.json", manifest(t)) // a genuine manifest under another release's name
	r.PublishAll()
	d := newDevice(t, r)
	target, err := d.client.Target(context.Background(), product+"/9.9.9.json")
	must(t, err)
	if m, err := d.client.Manifest(context.Background(), target); !errors.Is(err, client.ErrFormat) {
		t.Errorf("another release's manifest: %+v, %v", m, err)
	}
	for name, config := range map[string]client.Config{
		"nothing": {}, "no root": {Source: zeros{}}, "no source": {Root: []byte("{}")}, "null root": {Source: zeros{}, Root: []byte("null")},
	} {
		if _, err := client.Open(config); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
