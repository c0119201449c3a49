-- The entry of the audit chain as it was hashed; the columns beside it are for searching.
ALTER TABLE audit ADD COLUMN entry BLOB;

-- Grants may end by themselves.
ALTER TABLE grants ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;

-- The service has roles of its own as well, under the empty name.
CREATE TABLE own_roles (
  tenant      TEXT NOT NULL,
  name        TEXT NOT NULL,
  permissions TEXT NOT NULL,              -- JSON
  PRIMARY KEY (tenant, name)
) STRICT;
INSERT INTO own_roles (tenant, name, permissions) SELECT tenant, name, permissions FROM roles;
DROP TABLE roles;
ALTER TABLE own_roles RENAME TO roles;
