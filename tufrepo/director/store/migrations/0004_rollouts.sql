CREATE TABLE rollouts (
  id       TEXT PRIMARY KEY,
  tenant   TEXT NOT NULL REFERENCES tenants (name),
  created  INTEGER NOT NULL,
  creator  TEXT NOT NULL,
  spec     TEXT NOT NULL,                 -- JSON, as are the next two
  setup    TEXT NOT NULL,
  head     TEXT NOT NULL,
  run      TEXT NOT NULL,                 -- read out of head
  next_at  INTEGER NOT NULL,              -- when its next turn is due; 0 for never
  finished INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX rollouts_tenant ON rollouts (tenant, created, id);
CREATE INDEX rollouts_due ON rollouts (next_at) WHERE next_at > 0;

-- A device's part in a rollout. A device is held by one rollout at a time.
CREATE TABLE rollout_rows (
  rollout TEXT NOT NULL REFERENCES rollouts (id),
  device  TEXT NOT NULL REFERENCES devices (id),
  state   TEXT NOT NULL,
  reason  TEXT NOT NULL,
  phase   INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  step    INTEGER NOT NULL,
  strikes INTEGER NOT NULL,
  flags   INTEGER NOT NULL,
  zone    TEXT NOT NULL,
  timer   INTEGER NOT NULL,
  until   INTEGER NOT NULL,
  first   INTEGER NOT NULL,
  held    BOOLEAN NOT NULL,
  PRIMARY KEY (rollout, device)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rollout_rows_held ON rollout_rows (device) WHERE held;
CREATE INDEX rollout_rows_device ON rollout_rows (device);

-- What a rollout has not been told yet.
CREATE TABLE rollout_events (
  seq      NUMBER KEY,
  rollout  TEXT NOT NULL REFERENCES rollouts (id),
  received INTEGER NOT NULL,
  body     TEXT NOT NULL
) STRICT;
CREATE INDEX rollout_events_rollout ON rollout_events (rollout, seq);
