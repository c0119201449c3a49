-- Groups, what people note of devices, the list of devices, and enrolment.

-- A path ends in /, so what is below a/b/ is what is between a/b/ and a/b0.
CREATE TABLE groups (
  tenant  TEXT NOT NULL REFERENCES tenants (name),
  path    TEXT NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (tenant, path)
) STRICT, WITHOUT ROWID;

ALTER TABLE devices ADD COLUMN grp TEXT NOT NULL DEFAULT '';          -- path of its group; empty for none
ALTER TABLE devices ADD COLUMN zone TEXT NOT NULL DEFAULT '';         -- IANA time zone
ALTER TABLE devices ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}'; -- JSON object of texts
ALTER TABLE devices ADD COLUMN cloud_off BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE devices ADD COLUMN find TEXT NOT NULL DEFAULT '';         -- serial|mac#id as they are searched

-- One index has all that a list is asked for; the others find what is rare.
DROP INDEX devices_tenant;
CREATE INDEX devices_list ON devices (tenant, id, revoked, product, version, state, grp, find);
CREATE INDEX devices_product ON devices (tenant, product, id);
CREATE INDEX devices_version ON devices (tenant, version, id);
CREATE INDEX devices_state ON devices (tenant, state, id);
CREATE INDEX devices_grp ON devices (tenant, grp, revoked, id);

-- Where a text that is searched may begin, in serial, MAC and at the start of the id: up to 12 characters from there.
CREATE TABLE device_words (
  tenant TEXT NOT NULL,
  word   TEXT NOT NULL,
  device TEXT NOT NULL REFERENCES devices (id),
  PRIMARY KEY (tenant, word, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_words_device ON device_words (device);

UPDATE devices SET find = lower(
  replace(replace(replace(replace(replace(replace(serial, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', '') || '|' ||
  replace(replace(replace(replace(replace(replace(mac, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', '') || '#' ||
  replace(replace(replace(replace(replace(replace(id, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', ''));
WITH RECURSIVE start(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM start WHERE i < 300),
  names(tenant, device, name) AS (
    SELECT tenant, id, lower(replace(replace(replace(replace(replace(replace(serial, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', '')) FROM devices
    UNION ALL
    SELECT tenant, id, lower(replace(replace(replace(replace(replace(replace(mac, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', '')) FROM devices),
  words(tenant, word, device) AS (
    SELECT tenant, substr(name, i, 12), device FROM names, start WHERE i <= length(name)
    UNION
    SELECT tenant, substr(lower(replace(replace(replace(replace(replace(replace(id, '-', ''), ':', ''), '.', ''), ' ', ''), '_', ''), '/', '')), 1, 12), id FROM devices)
INSERT INTO device_words (tenant, word, device) SELECT tenant, word, device FROM words;

-- Devices that are expected to enrol.
CREATE TABLE expected (
  n        NUMBER KEY,
  tenant   TEXT NOT NULL REFERENCES tenants (name),
  serial   TEXT NOT NULL,
  mac      TEXT NOT NULL,
  product  TEXT NOT NULL,
  hardware TEXT NOT NULL,
  grp      TEXT NOT NULL,
  added    INTEGER NOT NULL,
  device   TEXT NOT NULL,                 -- that has enrolled as this; empty before
  key      BLOB NOT NULL                  -- its key's hash
) STRICT;
CREATE UNIQUE INDEX expected_serial ON expected (tenant, serial) WHERE serial <> '';
CREATE UNIQUE INDEX expected_mac ON expected (tenant, mac) WHERE mac <> '';
CREATE INDEX expected_list ON expected (tenant, n);

-- Keys that came with the serial of a device that has another one.
CREATE TABLE clones (
  tenant TEXT NOT NULL REFERENCES tenants (name),
  serial TEXT NOT NULL,
  key    BLOB NOT NULL,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (tenant, serial, key)
) STRICT;

-- Codes that let one device enrol, once. Only the hash is kept.
CREATE TABLE codes (
  hash    BLOB PRIMARY KEY,
  tenant  TEXT NOT NULL REFERENCES tenants (name),
  grp     TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used    INTEGER NOT NULL DEFAULT 0,
  device  TEXT NOT NULL DEFAULT ''        -- that has used it
) STRICT;
CREATE INDEX codes_tenant ON codes (tenant, created);

-- Devices that come with a UUID and an access key.
CREATE TABLE customs (
  id       TEXT PRIMARY KEY,
  tenant   TEXT NOT NULL REFERENCES tenants (name),
  hash     BLOB NOT NULL,                 -- of the access key
  name     TEXT NOT NULL,
  product  TEXT NOT NULL,
  hardware TEXT NOT NULL,
  grp      TEXT NOT NULL,
  created  INTEGER NOT NULL,
  revoked  INTEGER NOT NULL DEFAULT 0,
  device   TEXT NOT NULL DEFAULT ''       -- that has enrolled as this
) STRICT;
CREATE INDEX customs_tenant ON customs (tenant, id);

CREATE TABLE policies (
  tenant  TEXT PRIMARY KEY REFERENCES tenants (name),
  body    TEXT NOT NULL,                  -- JSON
  changed INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
  tenant       TEXT PRIMARY KEY REFERENCES tenants (name),
  device_days  INTEGER NOT NULL,
  audit_days   INTEGER NOT NULL,
  log_days     INTEGER NOT NULL,
  rollback     BOOLEAN NOT NULL
) STRICT;
