package store

import "time"

// Code lets one device enrol, once. The code itself is not kept.
type Code struct {
	Hash             []byte
	Tenant           string
	Group            string // that the device will be in
	Created, Expires time.Time
	Used             time.Time // zero before
	Device           string    // that has used it
}

const selectCode = "SELECT hash, tenant, grp, created, expires, used, device FROM codes"

func scanCode(r scanner) (Code, error) {
	var c Code
	var created, expires, used int64
	err := r.Scan(&c.Hash, &c.Tenant, &c.Group, &created, &expires, &used, &c.Device)
	c.Group, c.Created, c.Expires, c.Used = shown(c.Group), fromUnix(created), fromUnix(expires), fromUnix(used)
	return c, err
}

// AddCode stores a new code; ErrConflict if there is one with its hash.
func (t *Tx) AddCode(c Code) error {
	if c.Group != "" {
		if err := t.AddGroup(c.Tenant, c.Group, c.Created); err != nil {
			return err
		}
	}
	return t.do("INSERT INTO codes (hash, tenant, grp, created, expires) VALUES (?, ?, ?, ?, ?)",
		c.Hash, c.Tenant, stored(c.Group), c.Created.Unix(), c.Expires.Unix())
}

// UseCode uses a code up and returns it. ErrNotFound if it is unknown or over, or another
// device has used it; the same device may use it again, because answers get lost.
func (t *Tx) UseCode(hash []byte, device string, now time.Time) (Code, error) {
	if err := t.one(`UPDATE codes SET used = CASE WHEN used = 0 THEN ? ELSE used END, device = ? WHERE hash = ? AND expires > ?1
	  AND (used = 0 OR device = ?2)`, now.Unix(), device, hash); err != nil {
		return Code{}, err
	}
	return get(t, scanCode, selectCode+" WHERE hash = ?", hash)
}

// Codes returns a tenant's codes, the newest first.
func (t *Tx) Codes(tenant string) ([]Code, error) {
	return list(t, scanCode, selectCode+" WHERE tenant = ? ORDER BY created DESC, hash", tenant)
}

// PruneCodes drops a tenant's codes that were over at a time.
func (t *Tx) PruneCodes(tenant string, at time.Time) error {
	return t.do("DELETE FROM codes WHERE tenant = ? AND expires < ?", tenant, at.Unix())
}

// Custom is a device that comes with a UUID and an access key. The key itself is not kept.
type Custom struct {
	ID, Tenant        string
	Hash              []byte // of the access key
	Name              string // for people
	Product, Hardware string
	Group             string
	Created           time.Time
	Revoked           time.Time // zero if it is not
	Device            string    // that has enrolled as this; empty before
}

const selectCustom = "SELECT id, tenant, hash, name, product, hardware, grp, created, revoked, device FROM customs"

func scanCustom(r scanner) (Custom, error) {
	var c Custom
	var created, revoked int64
	err := r.Scan(&c.ID, &c.Tenant, &c.Hash, &c.Name, &c.Product, &c.Hardware, &c.Group, &created, &revoked, &c.Device)
	c.Group, c.Created, c.Revoked = shown(c.Group), fromUnix(created), fromUnix(revoked)
	return c, err
}

// AddCustom stores a new custom device; ErrConflict if there is one with its id.
func (t *Tx) AddCustom(c Custom) error {
	if c.Group != "" {
		if err := t.AddGroup(c.Tenant, c.Group, c.Created); err != nil {
			return err
		}
	}
	return t.do("INSERT INTO customs (id, tenant, hash, name, product, hardware, grp, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.Tenant, c.Hash, c.Name, c.Product, c.Hardware, stored(c.Group), c.Created.Unix())
}

// Custom returns one custom device, revoked or not, or ErrNotFound.
func (t *Tx) Custom(id string) (Custom, error) {
	return get(t, scanCustom, selectCustom+" WHERE id = ?", id)
}

// Customs returns a tenant's custom devices by id, those after one.
func (t *Tx) Customs(tenant, after string, most int) ([]Custom, error) {
	return list(t, scanCustom, selectCustom+" WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?", tenant, after, limit(most))
}

// BindCustom notes the device that has enrolled as a custom one.
func (t *Tx) BindCustom(id, device string) error {
	return t.one("UPDATE customs SET device = ? WHERE id = ? AND revoked = 0", device, id)
}

// RevokeCustom withdraws an access key.
func (t *Tx) RevokeCustom(id string, now time.Time) error {
	return t.one("UPDATE customs SET revoked = ? WHERE id = ? AND revoked = 0", now.Unix(), id)
}
