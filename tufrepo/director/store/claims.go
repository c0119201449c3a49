package store

import "time"

// Claim is a token that lets devices enrol. The token itself is not kept.
type Claim struct {
	ID      string
	Tenant  string
	Hash    []byte
	Uses    int64 // left
	Expires time.Time
	Created time.Time
	Product string    // that devices must have; empty for any
	Group   string    // that they will be in; empty for none
	Revoked time.Time // zero if it is not
}

const selectClaim = "SELECT id, tenant, hash, uses, expires, created, product, grp, revoked FROM claims"

func scanClaim(r scanner) (Claim, error) {
	var c Claim
	var expires, created, revoked int64
	err := r.Scan(&c.ID, &c.Tenant, &c.Hash, &c.Uses, &expires, &created, &c.Product, &c.Group, &revoked)
	c.Group, c.Expires, c.Created, c.Revoked = shown(c.Group), fromUnix(expires), fromUnix(created), fromUnix(revoked)
	return c, err
}

// AddClaim stores a new claim, and its group if that is new.
func (t *Tx) AddClaim(c Claim) error {
	if c.Group != "" {
		if err := t.AddGroup(c.Tenant, c.Group, c.Created); err != nil {
			return err
		}
	}
	return t.do("INSERT INTO claims (id, tenant, hash, uses, expires, created, product, grp) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.Tenant, c.Hash, c.Uses, c.Expires.Unix(), c.Created.Unix(), c.Product, stored(c.Group))
}

// Claim returns one claim, revoked or over or not, or ErrNotFound.
func (t *Tx) Claim(id string) (Claim, error) {
	return get(t, scanClaim, selectClaim+" WHERE id = ?", id)
}

// Claims returns all claims, the newest first.
func (t *Tx) Claims() ([]Claim, error) {
	return list(t, scanClaim, selectClaim+" ORDER BY created DESC, id")
}

// UseClaim takes one use; ErrNotFound when none is left.
func (t *Tx) UseClaim(id string) error {
	return t.one("UPDATE claims SET uses = uses - 1 WHERE id = ? AND uses > 0 AND revoked = 0", id)
}

// RevokeClaim withdraws a claim of a tenant; ErrNotFound if it has none of that id, or it is
// withdrawn already.
func (t *Tx) RevokeClaim(tenant, id string, now time.Time) error {
	return t.one("UPDATE claims SET revoked = ? WHERE tenant = ? AND id = ? AND revoked = 0", now.Unix(), tenant, id)
}

// SetCustomHash gives a custom device another access key.
func (t *Tx) SetCustomHash(id string, hash []byte) error {
	return t.one("UPDATE customs SET hash = ? WHERE id = ? AND revoked = 0", hash, id)
}

// CountCodes is how many codes of all tenants could still be used.
func (t *Tx) CountCodes(now time.Time) (int64, error) {
	return get(t, scanOne[int64], "SELECT count(*) FROM codes WHERE used = 0 AND expires > ?", now.Unix())
}
