package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// press is a folder with a repository, "repo", and bundles for it.
type press struct {
	t   *testing.T
	dir string
	key keyfile.Signer
	now time.Time

	patches int // that a release has, from those before
}

func newPress(t *testing.T, dir string) *press {
	p := &press{t: t, dir: dir, now: time.Now()}
	ok(t, os.MkdirAll(p.dir, 0o700))
	key, err := keyfile.Generate(keyfile.Ed25519)
	ok(t, err)
	ok(t, keyfile.SavePublic(p.path("all.pub"), key.Public()))
	p.key, err = keyfile.NewSigner(key)
	ok(t, err)
	_, err = tufrepo.Init(p.path("repo"), tufrepo.InitOptions{})
	ok(t, err)
	return p
}

func (p *press) path(name string) string { return filepath.Join(p.dir, name) }

func (p *press) public(path string) signer.Keys {
	k, err := signer.LoadPublic(path)
	ok(p.t, err)
	return signer.Keys{Keys: []signer.Public{k}, Threshold: 1}
}

// genesis makes the bundle "first", with the first root and a product.
func (p *press) genesis() string {
	all, life := p.public(p.path("all.pub")), 365*24*time.Hour
	_, err := signer.NewRoot(p.t.Context(), signer.NewRootOptions{Out: p.path("first"), Lifetime: life, Now: p.now, Roles: map[string]signer.Keys{
		metadata.ROOT: all, metadata.TARGETS: all, metadata.TIMESTAMP: p.public(p.path("repo/state/keys/timestamp.pub")),
		metadata.SNAPSHOT: p.public(p.path("repo/state/keys/snapshot.pub")),
	}})
	ok(p.t, err)
	_, err = signer.AddProduct(p.t.Context(), signer.ProductOptions{Bundle: p.path("first"), Product: "base", Lifetime: life, Now: p.now}, all)
	ok(p.t, err)
	s, err := signer.PrepareSigning(signer.SignOptions{Bundle: p.path("first"), Key: p.key, Now: p.now})
	ok(p.t, err)
	ok(p.t, s.Sign())
	return p.path("first")
}

// release makes a bundle with a release of an image, named like it.
func (p *press) release(version string, content []byte) string {
	image := p.path(version + ".img")
	ok(p.t, os.WriteFile(image, content, 0o600))
	base, err := signer.ReadBase(p.path("repo"), "")
	ok(p.t, err)
	_, err = signer.NewRelease(p.t.Context(), signer.ReleaseOptions{
		Out: p.path(version), Base: base, Product: "base", Version: version, Hardware: []string{"bu-100"}, Image: image,
		Lifetime: 365 * 24 * time.Hour, Now: p.now, Keys: []keyfile.Signer{p.key}, NoChunks: true, Patches: p.patches,
	})
	ok(p.t, err)
	return p.path(version)
}

func (p *press) publish(bundle string) {
	r, err := tufrepo.Open(p.path("repo"), tufrepo.Options{})
	ok(p.t, err)
	_, err = r.Publish(p.t.Context(), bundle, tufrepo.PublishOptions{})
	ok(p.t, err)
}

func publisherJobs(t *testing.T, bin string) (jobs []job) {
	add := func(name, old, new string, prepare func(p *press), argv ...string) {
		p := newPress(t, filepath.Join(scratch(t), "ready"))
		prepare(p)
		argv = append([]string{bin, argv[0], "--repo", "repo"}, argv[1:]...)
		jobs = append(jobs, job{
			name: name, argv: argv, ready: p.dir, done: 0,
			look: func(dir string, code int) error {
				if sees := devices(dir); sees != new && (sees != old || code == 0) {
					return fmt.Errorf("devices see %q; it was %q and is to be %q", sees, old, new)
				}
				return nil
			},
			again: func(t *testing.T, dir string) error {
				if e := run(t, dir, argv...); e.code != 0 {
					return fmt.Errorf("exit code %d: %s", e.code, e.out)
				}
				if sees := devices(dir); sees != new {
					return fmt.Errorf("devices see %q, not %q", sees, new)
				}
				return leftovers(dir)
			},
		})
	}
	older, newer := noise(3, 300_000), noise(4, 300_000)
	copy(newer, older[:200_000])
	released := func(p *press) {
		p.patches = 1
		p.publish(p.genesis())
		p.publish(p.release("1.0.0", older))
	}
	add("publish", "1.0.0", "1.0.0 1.1.0", func(p *press) { released(p); p.release("1.1.0", newer) }, "publish", "1.1.0")
	if thorough {
		add("first publish", "-", "", func(p *press) { p.genesis() }, "publish", "first")
		add("renew", "1.0.0", "1.0.0", released, "renew")
		add("collect", "1.0.0", "1.0.0", released, "gc")
	}
	return jobs
}

// devices is what a device with the first root sees of the repository in a folder.
func devices(dir string) string {
	source := client.FSSource(os.DirFS(filepath.Join(dir, "repo")))
	first, err := os.ReadFile(filepath.Join(dir, "first/metadata/1.root.json"))
	if err != nil {
		return err.Error()
	}
	if _, err := os.Stat(filepath.Join(dir, "repo/metadata/timestamp.json")); err != nil {
		return "-"
	}
	c, err := client.Open(client.Config{Root: first, Source: source})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	if err := c.Refresh(context.Background()); err != nil {
		return err.Error()
	}
	targets, err := c.Targets(context.Background(), "base")
	if err != nil && !strings.Contains(err.Error(), "does not list") {
		return err.Error()
	}
	var all []string
	for _, t := range targets {
		m, err := c.Manifest(context.Background(), t)
		if err != nil {
			return err.Error()
		}
		if err := blob(source, m.Artifact.Blob); err != nil {
			return fmt.Sprintf("the artifact of %s: %v", m.Version, err)
		}
		all = append(all, m.Version)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// blob reads one, and compares it.
func blob(source client.Source, b firmware.Blob) error {
	r, err := source.Open(context.Background(), "blobs/"+b.SHA256.String(), 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := io.Copy(&got, r); err != nil {
		return err
	}
	if firmware.Sum(got.Bytes()) != b.SHA256 {
		return fmt.Errorf("not the bytes that the manifest names")
	}
	return nil
}

// leftovers are temporary files that nothing removes.
func leftovers(dir string) error {
	return filepath.WalkDir(filepath.Join(dir, "repo"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".tmp") {
			return fmt.Errorf("%s is left over", path)
		}
		return err
	})
}
