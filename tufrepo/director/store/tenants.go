package store

import (
	"time"
)

// Tenant is an organisation.
type Tenant struct {
	Name    string
	Created time.Time
	Root    int64 // version of its newest director root
	Devices int64 // enrolled and not revoked
}

const selectTenant = `SELECT name, created,
  (SELECT coalesce(max(version), 0) FROM roots WHERE tenant = name),
  (SELECT count(*) FROM devices WHERE tenant = name AND revoked = 0) FROM tenants`

func scanTenant(r scanner) (Tenant, error) {
	var t Tenant
	var created int64
	err := r.Scan(&t.Name, &created, &t.Root, &t.Devices)
	t.Created = fromUnix(created)
	return t, err
}

// Tenants returns all tenants by name.
func (t *Tx) Tenants() ([]Tenant, error) {
	return list(t, scanTenant, selectTenant+" ORDER BY name")
}

// Tenant returns one tenant, or ErrNotFound.
func (t *Tx) Tenant(name string) (Tenant, error) {
	return get(t, scanTenant, selectTenant+" WHERE name = ?", name)
}

// AddTenant makes a tenant; one that exists stays as it is.
func (t *Tx) AddTenant(name string, now time.Time) error {
	return t.do("INSERT INTO tenants (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING", name, now.Unix())
}

// AddRoot stores the next director root of a tenant.
func (t *Tx) AddRoot(tenant string, version int64, raw []byte) error {
	return t.do("INSERT INTO roots (tenant, version, raw) VALUES (?, ?, ?)", tenant, version, raw)
}

// Root returns one director root as it was signed; version 0 is the newest.
func (t *Tx) Root(tenant string, version int64) ([]byte, error) {
	return get(t, scanOne[[]byte], `SELECT raw FROM roots WHERE tenant = ?1 AND (version = ?2 OR ?2 = 0)
	  ORDER BY version DESC LIMIT 1`, tenant, version)
}

// Claim is a token that lets devices enrol. The token itself is not kept.
type Claim struct {
	ID      string
	Tenant  string
	Hash    []byte
	Uses    int64 // left
	Expires time.Time
	Created time.Time
}

const selectClaim = "SELECT id, tenant, hash, uses, expires, created FROM claims"

func scanClaim(r scanner) (Claim, error) {
	var c Claim
	var expires, created int64
	err := r.Scan(&c.ID, &c.Tenant, &c.Hash, &c.Uses, &expires, &created)
	c.Expires, c.Created = fromUnix(expires), fromUnix(created)
	return c, err
}

// AddClaim stores a new claim.
func (t *Tx) AddClaim(c Claim) error {
	return t.do("INSERT INTO claims (id, tenant, hash, uses, expires, created) VALUES (?, ?, ?, ?, ?, ?)",
		c.ID, c.Tenant, c.Hash, c.Uses, c.Expires.Unix(), c.Created.Unix())
}

// Claim returns one claim, or ErrNotFound.
func (t *Tx) Claim(id string) (Claim, error) {
	return get(t, scanClaim, selectClaim+" WHERE id = ?", id)
}

// Claims returns all claims, the newest first.
func (t *Tx) Claims() ([]Claim, error) {
	return list(t, scanClaim, selectClaim+" ORDER BY created DESC, id")
}

// UseClaim takes one use; ErrNotFound when none is left.
func (t *Tx) UseClaim(id string) error {
	return t.one("UPDATE claims SET uses = uses - 1 WHERE id = ? AND uses > 0", id)
}

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
