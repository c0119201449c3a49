package director

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// maxRoot bounds a director root, which also travels in enrolment responses.
const maxRoot = 128 << 10

type rootMeta = metadata.Metadata[metadata.RootType]

// newestRoot is nil where the tenant has none.
func (d *Director) newestRoot(ctx context.Context, tenant string) (*rootMeta, error) {
	raw, err := d.Root(ctx, tenant, 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bundle.Parse[metadata.RootType](raw)
}

// Root returns a tenant's director root as it was signed; version 0 is the newest.
// store.ErrNotFound where there is none.
func (d *Director) Root(ctx context.Context, tenant string, version int64) (raw []byte, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		raw, err = tx.Root(tenant, version)
		return err
	})
	return raw, err
}

// AddTenant makes a tenant, or extends its root chain. roots are consecutive versions;
// those that are stored already are skipped if they are the same bytes. Everything is
// verified: each root by its own keys and those of the one before, and that the newest
// lets one of our online keys sign alone.
func (d *Director) AddTenant(ctx context.Context, tenant string, roots [][]byte) (store.Tenant, error) {
	if err := wire.CheckID(tenant); err != nil {
		return store.Tenant{}, refuse(wire.CodeBadRequest, "tenant: %v", err)
	}
	d.tenants.Lock()
	defer d.tenants.Unlock()
	keys, err := d.keys(tenant)
	if err != nil {
		return store.Tenant{}, err
	}
	var out store.Tenant
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := d.addRoots(tx, tenant, roots, keys); err != nil {
			return err
		}
		out, err = tx.Tenant(tenant)
		return err
	})
	if err != nil {
		return store.Tenant{}, err
	}
	select {
	case d.again <- struct{}{}: // the key may have changed
	default:
	}
	d.Log.Info("tenant has a director root", "tenant", tenant, "root", out.Root)
	return out, nil
}

func (d *Director) addRoots(tx *store.Tx, tenant string, roots [][]byte, keys []keyfile.Signer) error {
	chain := chain{tx: tx, tenant: tenant}
	for _, raw := range roots {
		if err := chain.add(raw, d.Clock); err != nil {
			return err
		}
	}
	if chain.newest == nil {
		return refuse(wire.CodeBadRequest, "no root was given: point to a bundle with metadata/1.root.json")
	}
	if err := mayDirect(chain.newest, keys); err != nil {
		return err
	}
	if !d.Clock().Before(chain.newest.Signed.Expires) {
		return refuse(wire.CodeBadRequest, "root %d expired on %s: sign a new one", chain.newest.Signed.Version, chain.newest.Signed.Expires)
	}
	if !chain.grew {
		return nil
	}
	return tx.DateDirections(tenant)
}

// mayDirect checks that root gives the targets role to one of keys alone.
func mayDirect(root *rootMeta, keys []keyfile.Signer) error {
	version := root.Signed.Version
	if !slices.ContainsFunc(keys, func(s keyfile.Signer) bool { return named(root, s) }) {
		var have []string
		for _, s := range keys {
			have = append(have, s.ID()[:12])
		}
		return refuse(wire.CodeBadRequest, "root %d does not give the targets role to an online key of this tenant (have: %s): make one with "+
			"fairlead-repo tenant key and the root with its public half as --targets-key", version, strings.Join(have, ", "))
	}
	if n := root.Signed.Roles[metadata.TARGETS].Threshold; n != 1 {
		return refuse(wire.CodeBadRequest, "root %d wants %d signatures on a direction, the director has one key: use --targets-threshold 1", version, n)
	}
	return nil
}
