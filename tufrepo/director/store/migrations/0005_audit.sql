-- One chain per tenant, and one of the service under the empty name. Times of entries are nanoseconds since 1970.
CREATE TABLE audit (
  tenant  TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL,
  role    TEXT NOT NULL,
  action  TEXT NOT NULL,
  object  TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail  TEXT NOT NULL,                  -- JSON
  prev    BLOB NOT NULL,
  hash    BLOB NOT NULL,
  PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

-- Where a chain ends, and where it begins: the last entry that was removed, 0 for none.
CREATE TABLE audit_chains (
  tenant     TEXT PRIMARY KEY,
  seq        INTEGER NOT NULL,
  hash       BLOB NOT NULL,
  start_seq  INTEGER NOT NULL,
  start_hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_heads (
  tenant    TEXT NOT NULL,
  day       TEXT NOT NULL,                -- 2006-01-02
  seq       INTEGER NOT NULL,
  hash      BLOB NOT NULL,
  signature BLOB NOT NULL,
  key_id    TEXT NOT NULL,
  PRIMARY KEY (tenant, day)
) STRICT;

-- API tokens. Only the hash of the secret is kept. The tenant is empty for those of the service.
CREATE TABLE tokens (
  id      TEXT PRIMARY KEY,
  tenant  TEXT NOT NULL,
  name    TEXT NOT NULL,
  role    TEXT NOT NULL,
  hash    BLOB NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,               -- 0 for never
  revoked INTEGER NOT NULL DEFAULT 0,
  used    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX tokens_tenant ON tokens (tenant, created);

CREATE TABLE roles (
  tenant      TEXT NOT NULL REFERENCES tenants (name),
  name        TEXT NOT NULL,
  permissions TEXT NOT NULL,              -- JSON
  PRIMARY KEY (tenant, name)
) STRICT;

-- Another organisation that a tenant has let in.
CREATE TABLE grants (
  tenant  TEXT NOT NULL REFERENCES tenants (name),
  grantee TEXT NOT NULL REFERENCES tenants (name),
  role    TEXT NOT NULL,
  created INTEGER NOT NULL,
  ended   INTEGER NOT NULL DEFAULT 0,
  n       NUMBER KEY
) STRICT;
CREATE UNIQUE INDEX grants_open ON grants (tenant, grantee, role) WHERE ended = 0;
CREATE INDEX grants_grantee ON grants (grantee);
