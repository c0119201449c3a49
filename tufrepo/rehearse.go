package tufrepo

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// rehearse lets the device's client go through a state: from the oldest root that
// is still in the field, as a device that was made with it, and from the newest.
func (p *publication) rehearse(ctx context.Context, view fs.FS, b *bundle.Base) error {
	roots := b.Roots()
	if oldest := p.opts.OldestRoot; oldest > 0 {
		i := slices.IndexFunc(roots, func(d *bundle.Doc[metadata.RootType]) bool { return d.Version == oldest })
		if i < 0 {
			return fmt.Errorf("root %d, which is to be the oldest in the field, is not there: the repository has %d to %d",
				oldest, roots[0].Version, roots[len(roots)-1].Version)
		}
		roots = roots[i:]
	}
	starts := roots[:1]
	if len(roots) > 1 {
		starts = append(starts[:1:1], roots[len(roots)-1])
	}
	for _, root := range starts {
		if err := p.rehearseFrom(ctx, view, root.Bytes); err != nil {
			return fmt.Errorf("a device that starts from root %d: %w", root.Version, err)
		}
	}
	return nil
}

func (p *publication) rehearseFrom(ctx context.Context, view fs.FS, root []byte) error {
	c, err := client.Open(client.Config{Root: root, Source: client.FSSource(view), Clock: p.clock})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	for product := range p.result.Products {
		if slices.ContainsFunc(p.result.Releases, func(r Release) bool { return r.Product == product }) {
			continue // its releases are looked for below
		}
		if _, err := c.Targets(ctx, product); err != nil {
			return fmt.Errorf("product %s: %w", product, err)
		}
	}
	for _, release := range p.result.Releases {
		target, err := c.Target(ctx, release.Target)
		if err != nil {
			return fmt.Errorf("release %s: %w", release.Target, err)
		}
		if _, err := c.Manifest(ctx, target); err != nil {
			return fmt.Errorf("release %s: %w", release.Target, err)
		}
	}
	return nil
}
