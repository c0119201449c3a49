package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// press is a repository and the engineer who fills it.
type press struct {
	t   *testing.T
	dir string
	key keyfile.Signer
	now time.Time
}

func newPress(t *testing.T) *press {
	p := &press{t: t, dir: t.TempDir(), now: noon}
	key, err := keyfile.Generate(keyfile.Ed25519)
	p.ok(err)
	p.ok(keyfile.SavePublic(p.path("all.pub"), key.Public()))
	p.key, err = keyfile.NewSigner(key)
	p.ok(err)
	_, err = tufrepo.Init(p.path("repo"), tufrepo.InitOptions{Options: p.options(durable.Disk{})})
	p.ok(err)
	return p
}

func (p *press) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *press) path(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

func (p *press) options(d durable.Disk) tufrepo.Options {
	return tufrepo.Options{Clock: func() time.Time { return p.now }, Disk: d}
}

func (p *press) public(path string) signer.Keys {
	k, err := signer.LoadPublic(path)
	p.ok(err)
	return signer.Keys{Keys: []signer.Public{k}, Threshold: 1}
}

// genesis makes the bundle with the first root and a product.
func (p *press) genesis() string {
	keys, all := p.path("repo", "state", "keys"), p.public(p.path("all.pub"))
	_, err := signer.NewRoot(p.t.Context(), signer.NewRootOptions{Out: p.path("first"), Lifetime: 365 * 24 * time.Hour, Now: p.now, Roles: map[string]signer.Keys{
		metadata.ROOT: all, metadata.TARGETS: all,
		metadata.TIMESTAMP: p.public(filepath.Join(keys, "timestamp.pub")), metadata.SNAPSHOT: p.public(filepath.Join(keys, "snapshot.pub")),
	}})
	p.ok(err)
	_, err = signer.AddProduct(p.t.Context(), signer.ProductOptions{Bundle: p.path("first"), Product: "base", Lifetime: 365 * 24 * time.Hour, Now: p.now}, all)
	p.ok(err)
	s, err := signer.PrepareSigning(signer.SignOptions{Bundle: p.path("first"), Key: p.key, Now: p.now})
	p.ok(err)
	p.ok(s.Sign())
	return p.path("first")
}

// successor makes the bundle with a second root, whose key is another.
func (p *press) successor() string {
	key, err := keyfile.Generate(keyfile.Ed25519)
	p.ok(err)
	p.ok(keyfile.SavePublic(p.path("next.pub"), key.Public()))
	next, err := keyfile.NewSigner(key)
	p.ok(err)
	base, err := signer.ReadBase(p.path("repo"), "")
	p.ok(err)
	_, err = signer.RotateRoot(p.t.Context(), signer.RotateRootOptions{Out: p.path("second"), Base: base, Lifetime: 365 * 24 * time.Hour, Now: p.now,
		Changes: map[string]signer.RoleChange{metadata.ROOT: {Add: p.public(p.path("next.pub")).Keys, Remove: []string{"all"}}}})
	p.ok(err)
	for _, k := range []keyfile.Signer{p.key, next} {
		s, err := signer.PrepareSigning(signer.SignOptions{Bundle: p.path("second"), Key: k, Now: p.now})
		p.ok(err)
		p.ok(s.Sign())
	}
	return p.path("second")
}

// release makes the bundle of a release, which may be the only one that its product lists.
func (p *press) release(version string, only bool) string {
	image := p.path(version + ".img")
	p.ok(os.WriteFile(image, imageBytes(uint64(version[2])), 0o600))
	base, err := signer.ReadBase(p.path("repo"), "")
	p.ok(err)
	keep := 0
	if only {
		keep = 1
	}
	_, err = signer.NewRelease(p.t.Context(), signer.ReleaseOptions{
		Out: p.path(version), Base: base, Product: "base", Version: version, Hardware: []string{"bu-100"}, Image: image,
		Lifetime: 365 * 24 * time.Hour, Now: p.now, Keys: []keyfile.Signer{p.key}, NoChunks: true, Keep: keep,
	})
	p.ok(err)
	return p.path(version)
}

func (p *press) publish(dir string, d durable.Disk, bundle string) error {
	r, err := tufrepo.Open(dir, p.options(d))
	if err != nil {
		return err
	}
	_, err = r.Publish(context.Background(), bundle, tufrepo.PublishOptions{})
	return err
}

func (p *press) renew(dir string, d durable.Disk) error {
	r, err := tufrepo.Open(dir, p.options(d))
	if err == nil {
		_, err = r.Renew(context.Background())
	}
	return err
}

// jobs are the works of a publisher that are cut.
var jobs = []struct {
	name     string
	work     func(p *press) func(dir string, d durable.Disk) error
	old, new string // what devices see, before and after; "-" for nothing
}{
	{"first publish", func(p *press) func(string, durable.Disk) error {
		b := p.genesis()
		return func(dir string, d durable.Disk) error { return p.publish(dir, d, b) }
	}, "-", ""},
	{"first release", func(p *press) func(string, durable.Disk) error {
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.genesis()))
		b := p.release("1.0.0", false)
		return func(dir string, d durable.Disk) error { return p.publish(dir, d, b) }
	}, "", "1.0.0"},
	{"second release", func(p *press) func(string, durable.Disk) error {
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.genesis()))
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.release("1.0.0", false)))
		b := p.release("1.1.0", false)
		return func(dir string, d durable.Disk) error { return p.publish(dir, d, b) }
	}, "1.0.0", "1.0.0 1.1.0"},
	{"renewal with a snapshot", func(p *press) func(string, durable.Disk) error {
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.genesis()))
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.release("1.0.0", false)))
		p.now = p.now.Add(6*24*time.Hour + 23*time.Hour)
		return p.renew
	}, "expired", "1.0.0"},
	{"a root of other people", func(p *press) func(string, durable.Disk) error {
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.genesis()))
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.release("1.0.0", false)))
		p.now = p.now.Add(time.Hour)
		b := p.successor()
		return func(dir string, d durable.Disk) error { return p.publish(dir, d, b) }
	}, "1.0.0", "root 2: 1.0.0"},
	{"collection", func(p *press) func(string, durable.Disk) error {
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.genesis()))
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.release("1.0.0", false)))
		p.ok(p.publish(p.path("repo"), durable.Disk{}, p.release("1.1.0", true)))
		p.now = p.now.Add(tufrepo.Grace + time.Hour)
		p.ok(p.renew(p.path("repo"), durable.Disk{}))
		removed := 0
		p.t.Cleanup(func() {
			if removed == 0 {
				p.t.Error("there was nothing to collect")
			}
		})
		return func(dir string, d durable.Disk) error {
			r, err := tufrepo.Open(dir, p.options(d))
			if err != nil {
				return err
			}
			c, err := r.Collect(context.Background(), tufrepo.Grace)
			removed += len(c.Removed)
			return err
		}
	}, "1.1.0", "1.1.0"},
}

// TestPublisherSurvivesEveryCut cuts the power at every operation of the publisher. What lies there then is shown to a device
// that has the first root, and the work is done again on it, and cut again.
func TestPublisherSurvivesEveryCut(t *testing.T) {
	seen, again, twice := NewSeen(), 0, 0
	start := time.Now()
	for _, job := range jobs {
		t.Run(strings.ReplaceAll(job.name, " ", "_"), func(t *testing.T) {
			p := newPress(t)
			work := job.work(p)
			tee, err := NewTee(p.path("repo"))
			p.ok(err)
			p.ok(work(p.path("repo"), durable.Disk{FS: tee}))
			want := p.devices(tee.disk.Now())
			if want != job.new {
				t.Fatalf("devices see %q, not %q", want, job.new)
			}
			n := 0
			tee.disk.Enumerate(Bounds{All: 6, Samples: 20, Tears: 3, Seed: *seed}, func(s *State) bool {
				if fresh, _ := seen.add(s.Sum(), 0); !fresh {
					return true
				}
				if sees := p.devices(s.Medium); sees != job.old && sees != job.new {
					t.Errorf("devices see %q, neither %q nor %q: %v", sees, job.old, job.new, s)
					return false
				}
				if n++; n%publishAgain == 0 || raced && n%100 == 0 {
					again++
					cuts, err := p.again(s.Medium, work, job.old, job.new)
					if twice += cuts; err != nil {
						t.Errorf("the work, done again: %v: %v", err, s)
						return false
					}
				}
				return n < 60 || !raced
			})
		})
	}
	t.Logf("publisher: %d distinct media of %d, shown to a device; the work done again on %d, and cut again at %d, in %v, seed %d", seen.Distinct(), seen.States.Load(), again, twice,
		time.Since(start).Round(time.Second), *seed)
}

// devices is what a device with the first root sees, in a store of its own.
func (p *press) devices(m *Medium) string {
	files := fstest.MapFS{}
	p.ok(m.Walk(func(name string, dir bool, data []byte) error {
		if !dir {
			files[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: data}
		}
		return nil
	}))
	roots := files["metadata/1.root.json"]
	if roots == nil || files["metadata/timestamp.json"] == nil {
		return "-"
	}
	first, err := os.ReadFile(p.path("first/metadata/1.root.json"))
	p.ok(err)
	c, err := client.Open(client.Config{Root: first, Source: client.FSSource(files), Clock: func() time.Time { return p.now }})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	err = c.Refresh(context.Background())
	if err != nil && strings.Contains(err.Error(), "expired") {
		return "expired"
	}
	if err != nil {
		return err.Error()
	}
	if root := c.Versions().Root; root > 1 {
		return fmt.Sprintf("root %d: %s", root, releases(c, files))
	}
	return releases(c, files)
}

// releases lists what a device can have, each with a whole blob.
func releases(c *client.Client, files fstest.MapFS) string {
	targets, err := c.Targets(context.Background(), "base")
	if err != nil {
		if strings.Contains(err.Error(), "does not list") {
			return "" // the product has no release yet
		}
		return err.Error()
	}
	var all []string
	for _, t := range targets {
		m, err := c.Manifest(context.Background(), t)
		if err != nil {
			return err.Error()
		}
		blob := files["blobs/"+m.Artifact.SHA256.String()]
		if blob == nil || int64(len(blob.Data)) != m.Artifact.Length || bytes.Equal(blob.Data, make([]byte, len(blob.Data))) {
			return "the artifact of " + m.Version + " is not whole"
		}
		all = append(all, m.Version)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// again puts a medium into a folder, does the work there once more, and looks; and at what some cuts of that leave, which it counts.
func (p *press) again(m *Medium, work func(string, durable.Disk) error, old, want string) (cuts int, err error) {
	dir, err := os.MkdirTemp(p.dir, "again-")
	p.ok(err)
	defer os.RemoveAll(dir)
	p.ok(m.Walk(func(name string, isDir bool, data []byte) error {
		if isDir {
			return os.MkdirAll(dir+name, 0o700)
		}
		return os.WriteFile(dir+name, data, 0o600)
	}))
	tee, err := NewTee(dir)
	p.ok(err)
	if err := work(dir, durable.Disk{FS: tee}); err != nil {
		return 0, err
	}
	if sees := p.devices(tee.disk.Now()); sees != want {
		return 0, fmt.Errorf("devices see %q, not %q", sees, want)
	}
	n := 0
	tee.disk.Enumerate(Bounds{Tears: 1, Seed: *seed}, func(s *State) bool {
		if n++; n%publishAgain != 0 {
			return true
		}
		if sees := p.devices(s.Medium); sees != old && sees != want {
			err = fmt.Errorf("cut once more: devices see %q, neither %q nor %q: %v", sees, old, want, s)
		}
		cuts++
		return err == nil
	})
	return cuts, err
}

// private keeps keys to their owner, as they were before they were copied.
func private(keys string) error {
	entries, err := os.ReadDir(keys)
	for _, e := range entries {
		err = errors.Join(err, os.Chmod(filepath.Join(keys, e.Name()), 0o600))
	}
	return err
}
