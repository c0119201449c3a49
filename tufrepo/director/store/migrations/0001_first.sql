CREATE TABLE tenants (
  name    TEXT PRIMARY KEY,
  created INTEGER NOT NULL
) STRICT;

-- The director root chain of a tenant, each as it was signed.
CREATE TABLE roots (
  tenant  TEXT NOT NULL REFERENCES tenants (name),
  version INTEGER NOT NULL,
  raw     BLOB NOT NULL,
  PRIMARY KEY (tenant, version)
) STRICT;

-- Only the hash of a token is kept: a copy of this file enrols nobody.
CREATE TABLE claims (
  id      TEXT PRIMARY KEY,
  tenant  TEXT NOT NULL REFERENCES tenants (name),
  hash    BLOB NOT NULL,
  uses    INTEGER NOT NULL CHECK (uses >= 0),
  expires INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
  id          TEXT PRIMARY KEY,
  tenant      TEXT NOT NULL REFERENCES tenants (name),
  claim       TEXT NOT NULL,
  key         BLOB NOT NULL,              -- SHA-256 of its SubjectPublicKeyInfo
  product     TEXT NOT NULL,
  hardware    TEXT NOT NULL,
  serial      TEXT NOT NULL,
  mac         TEXT NOT NULL,
  agent       TEXT NOT NULL,
  enrolled    INTEGER NOT NULL,
  expires     INTEGER NOT NULL,           -- of the certificate issued last
  revoked     INTEGER NOT NULL DEFAULT 0,
  seen        INTEGER NOT NULL DEFAULT 0,
  online      BOOLEAN NOT NULL DEFAULT FALSE,
  reported_at INTEGER NOT NULL DEFAULT 0,
  reported    TEXT NOT NULL DEFAULT '',   -- wire.Reported
  version     TEXT NOT NULL DEFAULT '',   -- the next four are read out of reported
  counter     INTEGER NOT NULL DEFAULT 0,
  state       TEXT NOT NULL DEFAULT '',
  accepted    INTEGER NOT NULL DEFAULT 0  -- version of the direction it took last
) STRICT;
CREATE INDEX devices_tenant ON devices (tenant, id);
CREATE UNIQUE INDEX devices_key ON devices (key);
CREATE UNIQUE INDEX devices_serial ON devices (tenant, serial) WHERE serial <> '' AND revoked = 0;
CREATE UNIQUE INDEX devices_mac ON devices (tenant, mac) WHERE mac <> '' AND revoked = 0;

-- The newest direction of each device.
CREATE TABLE directions (
  device   TEXT PRIMARY KEY REFERENCES devices (id),
  version  INTEGER NOT NULL,
  issued   INTEGER NOT NULL,
  expires  INTEGER NOT NULL,
  raw      BLOB NOT NULL
) STRICT;
CREATE INDEX directions_issued ON directions (issued);

CREATE TABLE updates (
  id       TEXT PRIMARY KEY,
  device   TEXT NOT NULL REFERENCES devices (id),
  product  TEXT NOT NULL,
  previous TEXT NOT NULL,                 -- version that ran before
  version  TEXT NOT NULL,
  state    TEXT NOT NULL,
  reason   TEXT NOT NULL DEFAULT '',
  detail   TEXT NOT NULL DEFAULT '',
  fetched  INTEGER NOT NULL DEFAULT 0,
  written  INTEGER NOT NULL DEFAULT 0,
  millis   INTEGER NOT NULL DEFAULT 0,
  epoch    TEXT NOT NULL DEFAULT '',      -- of the event that set the state
  seq      INTEGER NOT NULL DEFAULT 0,
  created  INTEGER NOT NULL,
  changed  INTEGER NOT NULL
) STRICT;
CREATE INDEX updates_device ON updates (device, created);
CREATE INDEX updates_created ON updates (created);

CREATE TABLE events (
  device   TEXT NOT NULL REFERENCES devices (id),
  epoch    TEXT NOT NULL,
  seq      INTEGER NOT NULL,
  received INTEGER NOT NULL,
  body     TEXT NOT NULL,                 -- wire.Event
  PRIMARY KEY (device, epoch, seq)
) STRICT, WITHOUT ROWID;
