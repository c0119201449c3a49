-- What two directors on one database need.

-- The updates of a device are counted; the highest is the newest.
ALTER TABLE updates ADD COLUMN n INTEGER NOT NULL DEFAULT 0;
UPDATE updates SET n = (SELECT count(*) FROM updates o WHERE o.device = updates.device
  AND (o.created < updates.created OR (o.created = updates.created AND o.id <= updates.id)));
CREATE UNIQUE INDEX updates_n ON updates (device, n);

ALTER TABLE devices ADD COLUMN node TEXT NOT NULL DEFAULT ''; -- the director that it is, or was last, connected to

CREATE TABLE leases (
  name   TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  term   INTEGER NOT NULL,                -- grows when another takes it
  until  INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
