package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PublishOptions are the choices of one publish.
type PublishOptions struct {
	// Progress, if set, is told how many bytes of blobs are in place.
	Progress func(done, total int64)
	// OldestRoot is the version of the oldest root that a device in the field may have: the result is tried from it, too.
	// 0 means the first.
	OldestRoot int64
	// Policy is what must be said of a new release; nil asks for nothing.
	Policy *attest.Policy
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
	Logged    int              `json:"logged"`   // releases for which proofs were made that they stand in the log
	LogSize   uint64           `json:"log_size"` // entries of the log then; 0 if no proof was made
	// Missed are witnesses that have not cosigned it, though enough have.
	Missed []MissedWitness `json:"missed,omitempty"`
}

// Release is one release of a product.
type Release struct {
	Product  string           `json:"product"`
	Version  string           `json:"version"`
	Counter  int64            `json:"counter"`
	Hardware []string         `json:"hardware"`
	Target   string           `json:"target"`
	Channel  firmware.Channel `json:"channel"`
}

func releaseOf(e bundle.Entry) Release {
	return Release{e.Product, e.Version, e.Counter, e.Hardware, e.Path, e.Channel}
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
	if err := r.gate(o.Policy, b, plan); err != nil {
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
// rotted since are replaced, and proofs that were lost made again.
func (p *publication) repair(ctx context.Context) error {
	p.result.Nothing = true
	p.describe(p.base)
	if err := p.putBlobs(ctx); err != nil {
		return err
	}
	return p.putProofs(ctx)
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
	for _, step := range []func(context.Context) error{p.putBlobs, p.putSigned, p.putProofs} {
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
	next, err := p.swap(ctx, p.base, p.newTransition(o))
	if err != nil {
		return err
	}
	p.describe(next)
	return nil
}

func (p *publication) newTransition(o *online) transition {
	c := transition{online: o, roots: p.plan.Roots, plan: p.plan, check: p.rehearse}
	first := p.base.Timestamp() == nil
	// To whoever has an expired root, nothing is worth anything before the new one.
	expired := !first && !p.base.Root().Signed.Expires.After(p.clock())
	c.rootsLast = !first && !expired && o.agreed && bundle.Vouched(p.plan.Chain, metadata.TARGETS, p.plan.Top)
	if len(c.roots) > 0 && !first && !expired && !c.rootsLast {
		p.log.Warn("the old root does not vouch for what the new root brings: devices that look during the next moment will have to try again")
	}
	return c
}

// putSigned writes what the engineers signed, but for roots.
func (p *publication) putSigned(ctx context.Context) error {
	for _, group := range [][]bundle.File{p.plan.Manifests, p.plan.Products, p.plan.PolicyFiles, p.plan.Targets} {
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
	if errors.Is(err, fs.ErrNotExist) {
		return p.write(f.Name, f.Data)
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", f.Name, err)
	}
	if bytes.Equal(old, f.Data) {
		return nil
	}
	used, err := reachable(p.base)
	if err != nil {
		return err
	}
	if used[f.Name] {
		return fmt.Errorf("%s is published with other bytes, and is never changed", f.Name)
	}
	p.log.Warn("replacing a file of an unfinished publish", "name", f.Name)
	return p.write(f.Name, f.Data)
}

func (p *publication) describe(b *bundle.Base) {
	p.result.Root = b.Root().Signed.Version
	p.result.Timestamp = b.Timestamp().Version
	p.result.Snapshot = b.Snapshot().Version
	p.result.Targets = b.TargetsDoc().Version
}
