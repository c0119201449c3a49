package store

import "time"

// Token lets a program use the API. The secret itself is not kept.
type Token struct {
	ID      string
	Tenant  string // empty for one of the service
	Name    string // for people
	Role    string
	Hash    []byte // of the secret
	Created time.Time
	Expires time.Time // zero for never
	Revoked time.Time // zero if it is not
	Used    time.Time // last time, to about a minute
}

const selectToken = "SELECT id, tenant, name, role, hash, created, expires, revoked, used FROM tokens"

func scanToken(r scanner) (Token, error) {
	var t Token
	var created, expires, revoked, used int64
	err := r.Scan(&t.ID, &t.Tenant, &t.Name, &t.Role, &t.Hash, &created, &expires, &revoked, &used)
	t.Created, t.Expires, t.Revoked, t.Used = fromUnix(created), fromUnix(expires), fromUnix(revoked), fromUnix(used)
	return t, err
}

// AddToken stores a new token; ErrConflict if there is one with its id.
func (t *Tx) AddToken(k Token) error {
	return t.do("INSERT INTO tokens (id, tenant, name, role, hash, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Tenant, k.Name, k.Role, k.Hash, k.Created.Unix(), toUnix(k.Expires))
}

// Token returns one token, revoked or over or not, or ErrNotFound.
func (t *Tx) Token(id string) (Token, error) {
	return get(t, scanToken, selectToken+" WHERE id = ?", id)
}

// Tokens returns the tokens of a tenant, or under the empty name of the service, the newest first.
func (t *Tx) Tokens(tenant string) ([]Token, error) {
	return list(t, scanToken, selectToken+" WHERE tenant = ? ORDER BY created DESC, id", tenant)
}

// RevokeToken withdraws a token; ErrNotFound if it does not exist or is revoked already.
func (t *Tx) RevokeToken(id string, now time.Time) error {
	return t.one("UPDATE tokens SET revoked = ? WHERE id = ? AND revoked = 0", now.Unix(), id)
}

// UseToken notes that a token was used. It writes once a minute: ask it only where Token.Used
// is older.
func (t *Tx) UseToken(id string, now time.Time) error {
	return t.do("UPDATE tokens SET used = ? WHERE id = ? AND used <= ?", now.Unix(), id, now.Unix()-60)
}

// Role is a tenant's own role; under the empty name of the service.
type Role struct {
	Tenant, Name string
	Permissions  []byte // JSON, the caller's
}

func scanRole(r scanner) (o Role, err error) {
	err = r.Scan(&o.Tenant, &o.Name, &o.Permissions)
	return o, err
}

// SetRole makes or changes a role.
func (t *Tx) SetRole(r Role) error {
	return t.do(`INSERT INTO roles (tenant, name, permissions) VALUES (?, ?, ?)
	  ON CONFLICT (tenant, name) DO UPDATE SET permissions = excluded.permissions`, r.Tenant, r.Name, string(r.Permissions))
}

// Role returns one role, or ErrNotFound.
func (t *Tx) Role(tenant, name string) (Role, error) {
	return get(t, scanRole, "SELECT tenant, name, permissions FROM roles WHERE tenant = ? AND name = ?", tenant, name)
}

// Roles returns a tenant's roles by name.
func (t *Tx) Roles(tenant string) ([]Role, error) {
	return list(t, scanRole, "SELECT tenant, name, permissions FROM roles WHERE tenant = ? ORDER BY name", tenant)
}

// RemoveRole removes a role. Tokens and grants that name it stay, and mean nothing.
func (t *Tx) RemoveRole(tenant, name string) error {
	return t.one("DELETE FROM roles WHERE tenant = ? AND name = ?", tenant, name)
}

// Grant lets another organisation into a tenant.
type Grant struct {
	Tenant, Grantee string
	Role            string
	Created         time.Time
	Expires         time.Time // zero for never
	Ended           time.Time // zero while it holds
}

const selectGrant = "SELECT tenant, grantee, role, created, expires, ended FROM grants"

func scanGrant(r scanner) (Grant, error) {
	var g Grant
	var created, expires, ended int64
	err := r.Scan(&g.Tenant, &g.Grantee, &g.Role, &created, &expires, &ended)
	g.Created, g.Expires, g.Ended = fromUnix(created), fromUnix(expires), fromUnix(ended)
	return g, err
}

// AddGrant stores a grant; ErrConflict if the same one was not ended.
func (t *Tx) AddGrant(g Grant) error {
	return t.do("INSERT INTO grants (tenant, grantee, role, created, expires) VALUES (?, ?, ?, ?, ?)", g.Tenant, g.Grantee, g.Role,
		g.Created.Unix(), toUnix(g.Expires))
}

// EndGrant ends a grant that holds, else ErrNotFound.
func (t *Tx) EndGrant(tenant, grantee, role string, now time.Time) error {
	return t.one("UPDATE grants SET ended = ? WHERE tenant = ? AND grantee = ? AND role = ? AND ended = 0", now.Unix(), tenant, grantee, role)
}

// Grants returns what a tenant has granted, ended ones too, the newest first.
func (t *Tx) Grants(tenant string) ([]Grant, error) {
	return list(t, scanGrant, selectGrant+" WHERE tenant = ? ORDER BY created DESC, n DESC", tenant)
}

// GrantsTo returns what was not ended for a grantee, by tenant.
func (t *Tx) GrantsTo(grantee string) ([]Grant, error) {
	return list(t, scanGrant, selectGrant+" WHERE grantee = ? AND ended = 0 ORDER BY tenant, role", grantee)
}
