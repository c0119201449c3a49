package director

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// maxRoot bounds a director root, which also travels in enrolment responses.
const maxRoot = 128 << 10

// TenantKey is the public half of an online key.
type TenantKey struct {
	ID     string `json:"id"`     // TUF key id
	Public string `json:"public"` // PEM
}

// MakeKey makes a tenant's online key and returns the public half. A key that no root
// names yet is returned again, so asking twice does no harm; with rotate, a key that the
// root names already gets a successor.
func (d *Director) MakeKey(ctx context.Context, tenant string, rotate bool) (TenantKey, error) {
	if err := wire.CheckID(tenant); err != nil {
		return TenantKey{}, refuse(wire.CodeBadRequest, "tenant: %v", err)
	}
	d.tenants.Lock()
	defer d.tenants.Unlock()
	keys, err := d.keys(tenant)
	if err != nil {
		return TenantKey{}, err
	}
	root, err := d.newestRoot(ctx, tenant)
	if err != nil {
		return TenantKey{}, err
	}
	if n := len(keys); n > 0 && !(rotate && named(root, keys[n-1])) {
		return public(keys[n-1])
	}
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		return TenantKey{}, err
	}
	if err := keyfile.Save(d.keyPath(tenant, len(keys)+1), key, nil); err != nil {
		return TenantKey{}, err
	}
	s, err := keyfile.NewSigner(key)
	if err != nil {
		return TenantKey{}, err
	}
	d.Log.Info("online key made", "tenant", tenant, "key", s.ID())
	return public(s)
}

func (d *Director) keyPath(tenant string, n int) string {
	return filepath.Join(d.Keys, tenant+"."+strconv.Itoa(n)+".key")
}

// keys loads a tenant's online keys in the order in which they were made.
func (d *Director) keys(tenant string) ([]keyfile.Signer, error) {
	var out []keyfile.Signer
	for n := 1; ; n++ {
		key, err := keyfile.Load(d.keyPath(tenant, n), nil)
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("online key of tenant %s: %w", tenant, err)
		}
		s, err := keyfile.NewSigner(key)
		if err != nil {
			return nil, fmt.Errorf("online key of tenant %s: %w", tenant, err)
		}
		out = append(out, s)
	}
}

func public(s keyfile.Signer) (TenantKey, error) {
	pub, err := s.PublicKey()
	if err != nil {
		return TenantKey{}, err
	}
	text, err := publicPEM(pub)
	return TenantKey{ID: s.ID(), Public: text}, err
}

func publicPEM(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("printing a public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

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

// named says whether root lets s sign directions.
func named(root *rootMeta, s keyfile.Signer) bool {
	if root == nil || root.Signed.Roles[metadata.TARGETS] == nil {
		return false
	}
	return slices.Contains(root.Signed.Roles[metadata.TARGETS].KeyIDs, s.ID())
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
	err = d.Store.Update(ctx, func(tx *store.Tx) error {
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

// chain adds roots one by one.
type chain struct {
	tx     *store.Tx
	tenant string
	newest *rootMeta
	grew   bool
}

func (c *chain) add(raw []byte, clock func() time.Time) error {
	if len(raw) > maxRoot {
		return refuse(wire.CodeTooLarge, "a director root has %d bytes, more than %d", len(raw), maxRoot)
	}
	root, err := bundle.Parse[metadata.RootType](raw)
	if err != nil {
		return refuse(wire.CodeBadRequest, "%v", err)
	}
	have, err := c.tx.Root(c.tenant, root.Signed.Version)
	if err == nil {
		if string(have) != string(raw) {
			return refuse(wire.CodeConflict, "root %d of tenant %s is stored with other bytes: a version is signed once", root.Signed.Version, c.tenant)
		}
		c.newest = root
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := c.follows(root); err != nil {
		return err
	}
	c.newest, c.grew = root, true
	if err := c.tx.AddTenant(c.tenant, clock()); err != nil {
		return err
	}
	return c.tx.AddRoot(c.tenant, root.Signed.Version, raw)
}

// follows verifies root as TUF 5.3.4 and 5.3.5 say.
func (c *chain) follows(root *rootMeta) error {
	version := root.Signed.Version
	if err := signedBy(root, root); err != nil {
		return refuse(wire.CodeBadRequest, "root %d: %v", version, err)
	}
	raw, err := c.tx.Root(c.tenant, 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	prev, err := bundle.Parse[metadata.RootType](raw)
	if err != nil {
		return err
	}
	if version != prev.Signed.Version+1 {
		return refuse(wire.CodeConflict, "root %d does not follow root %d, which tenant %s has", version, prev.Signed.Version, c.tenant)
	}
	if err := signedBy(prev, root); err != nil {
		return refuse(wire.CodeBadRequest, "root %d: %v", version, err)
	}
	return nil
}

// signedBy says whether the root keys of by have signed root up to their threshold. The
// verdict is go-tuf's, as on a device; who has not signed is told in our words.
func signedBy(by, root *rootMeta) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verifying: %v", p)
		}
	}()
	if err := by.VerifyDelegate(metadata.ROOT, root); err != nil {
		if s, counted := bundle.Count(metadata.ROOT, bundle.ByRoot(by, metadata.ROOT), root); counted == nil && !s.Enough() {
			return errors.New(s.String())
		}
		return err
	}
	return nil
}
