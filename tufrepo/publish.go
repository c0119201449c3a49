package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PublishOptions are the choices of one publish.
type PublishOptions struct {
	// Progress, if set, is told how many bytes of blobs are in place.
	Progress func(done, total int64)
}

// Published says what a publish has done.
type Published struct {
	Nothing   bool             `json:"nothing"` // the repository had everything already
	Root      int64            `json:"root"`    // versions as they are now
	Timestamp int64            `json:"timestamp"`
	Snapshot  int64            `json:"snapshot"`
	Targets   int64            `json:"targets"`
	Products  map[string]int64 `json:"products"` // new versions of product roles
	Releases  []Release        `json:"releases"` // new ones
	Blobs     int              `json:"blobs"`    // new ones
	Bytes     int64            `json:"bytes"`    // of the new blobs
}

// Release is one release of a product.
type Release struct {
	Product  string   `json:"product"`
	Version  string   `json:"version"`
	Counter  int64    `json:"counter"`
	Hardware []string `json:"hardware"`
	Target   string   `json:"target"`
}

func releaseOf(e bundle.Entry) Release {
	return Release{e.Product, e.Version, e.Counter, e.Hardware, e.Path}
}

// publication is one publish on its way.
type publication struct {
	*Repo
	base   *bundle.Base
	bundle *bundle.Bundle
	plan   *bundle.Plan
	opts   PublishOptions
	result Published
	done   int64 // bytes of blobs in place
}

// Publish takes a bundle in. Errors: ErrBusy; ErrConflict and ErrRefused, which
// hold bundle.Problems; ErrNoKey; those of the disk. After any error the
// repository shows devices what it showed before, or what it was to show, and
// running Publish again completes the work.
func (r *Repo) Publish(ctx context.Context, bundleDir string, o PublishOptions) (Published, error) {
	base, unlock, err := r.begin()
	if err != nil {
		return Published{}, err
	}
	defer unlock()
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return Published{}, err
	}
	b.Clock = r.clock
	plan, err := b.Plan(base)
	if err != nil {
		return Published{}, verdict(err)
	}
	p := &publication{Repo: r, base: base, bundle: b, plan: plan, opts: o}
	p.result.Products, p.result.Releases = map[string]int64{}, []Release{}
	work := p.run
	if plan.Empty() && base.Timestamp() != nil && base.Settled() {
		work = p.repair
	}
	if err := work(ctx); err != nil {
		return Published{}, fmt.Errorf("publishing %s: %w", bundleDir, err)
	}
	return p.result, nil
}

// repair is what is left to do where everything is published: blobs that have
// rotted since are replaced.
func (p *publication) repair(ctx context.Context) error {
	p.result.Nothing = true
	p.describe(p.base)
	return p.putBlobs(ctx)
}

func verdict(err error) error {
	problems, ok := bundle.AsProblems(err)
	switch {
	case !ok:
		return err
	case problems.Kind() == bundle.Conflict:
		return fmt.Errorf("%w:\n%w", ErrConflict, err)
	default:
		return fmt.Errorf("%w:\n%w", ErrRefused, err)
	}
}

// run puts the files in place in the order of the package's description. Until
// swap, nothing that it does can be seen from the present timestamp.
func (p *publication) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.putBlobs, p.putSigned} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	o, err := p.makeOnline(p.base, p.plan.Chain, p.plan.Meta)
	if err != nil {
		return err
	}
	if err := p.write(o.snapshot.name, o.snapshot.data); err != nil {
		return err
	}
	next, err := p.swap(ctx, p.base, p.newChange(o))
	if err != nil {
		return err
	}
	p.describe(next)
	return nil
}

func (p *publication) newChange(o *online) change {
	c := change{online: o, roots: p.plan.Roots, check: p.rehearse}
	first := p.base.Timestamp() == nil
	c.rootsLast = !first && o.agreed && bundle.Vouched(p.plan.Chain, metadata.TARGETS, p.plan.Top)
	if len(c.roots) > 0 && !first && !c.rootsLast {
		p.log.Warn("the old root does not vouch for what the new root brings: devices that look during the next moment will have to try again")
	}
	return c
}

// putSigned writes what the engineers signed, but for roots.
func (p *publication) putSigned(ctx context.Context) error {
	for _, group := range [][]bundle.File{p.plan.Manifests, p.plan.Products, p.plan.Targets} {
		for _, f := range group {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := p.putFile(f); err != nil {
				return err
			}
		}
	}
	for _, f := range p.plan.Products {
		v, role, _ := bundle.ParseMetadataName(f.Name)
		p.result.Products[role] = v
	}
	for _, e := range p.plan.Releases {
		p.result.Releases = append(p.result.Releases, releaseOf(e))
	}
	return nil
}

// putFile writes a file of which the plan says that the repository lacks it. If
// one of that name lies there with other bytes, a publish left it that was
// never completed: nothing names it, and it is replaced.
func (p *publication) putFile(f bundle.File) error {
	old, err := os.ReadFile(p.path(f.Name))
	if err == nil && bytes.Equal(old, f.Data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking at %s: %w", f.Name, err)
	}
	if err == nil {
		p.log.Warn("replacing a file of an unfinished publish", "name", f.Name)
	}
	return p.write(f.Name, f.Data)
}

func (p *publication) describe(b *bundle.Base) {
	p.result.Root = b.Root().Signed.Version
	p.result.Timestamp = b.Timestamp().Version
	p.result.Snapshot = b.Snapshot().Version
	p.result.Targets = b.TargetsDoc().Version
}

// change is a step from one published state to the next.
type change struct {
	*online
	roots     []bundle.File // oldest first
	rootsLast bool
	// check, if set, has the last word: it is shown a view of every state that
	// a device could meet.
	check func(ctx context.Context, view fs.FS, b *bundle.Base) error
}

// swap makes what was prepared visible, and returns the new state. First it
// looks at that state through an overlay; then come the one or two steps that
// devices can see; around them the journal for Collect.
func (r *Repo) swap(ctx context.Context, base *bundle.Base, c change) (*bundle.Base, error) {
	next, err := r.preview(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("trying the result, before anything is changed: %w", err)
	}
	used, err := reachable(next)
	if err != nil {
		return nil, err
	}
	if err := r.forget(used); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	steps := []func() error{func() error { return r.putRoots(c.roots) }, func() error { return r.write(c.timestamp.name, c.timestamp.data) }}
	if c.rootsLast {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := r.notice(used); err != nil {
		r.log.Warn("the journal of unreferenced files was not written: gc will keep them longer", "error", err)
	}
	return next, nil
}

// preview loads the state to come, and lets c.check try it and the state
// between the two steps.
func (r *Repo) preview(ctx context.Context, c change) (*bundle.Base, error) {
	fsys, err := r.FS()
	if err != nil {
		return nil, err
	}
	timestamp := map[string][]byte{c.timestamp.name: c.timestamp.data}
	all := map[string][]byte{c.timestamp.name: c.timestamp.data}
	for _, f := range c.roots {
		all[f.Name] = f.Data
	}
	views := []fs.FS{overlay{fsys, all}}
	if c.rootsLast && len(c.roots) > 0 {
		views = append(views, overlay{fsys, timestamp})
	}
	var states []*bundle.Base
	for _, view := range views {
		b, err := bundle.LoadBase(view, nil)
		if err == nil && c.check != nil {
			err = c.check(ctx, view, b)
		}
		if err != nil {
			return nil, err
		}
		states = append(states, b)
	}
	return states[0], nil
}

// putRoots writes new roots newest first: none can be reached until the last
// is there, and then all can.
func (r *Repo) putRoots(roots []bundle.File) error {
	for _, f := range slices.Backward(roots) {
		old, err := os.ReadFile(r.path(f.Name))
		switch {
		case err == nil && bytes.Equal(old, f.Data):
			continue
		case err == nil && f.Name == roots[0].Name:
			return fmt.Errorf("%s is there with other bytes, and a root is never replaced", f.Name)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("looking at %s: %w", f.Name, err)
		}
		if err := r.write(f.Name, f.Data); err != nil {
			return err
		}
	}
	return nil
}
