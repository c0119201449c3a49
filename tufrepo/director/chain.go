package director

import (
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

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
