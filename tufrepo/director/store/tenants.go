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

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
