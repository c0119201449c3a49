-- Claim tokens may be for one product, put devices into a group, and be withdrawn.
ALTER TABLE claims ADD COLUMN product TEXT NOT NULL DEFAULT '';
ALTER TABLE claims ADD COLUMN grp TEXT NOT NULL DEFAULT '';       -- path of the group; empty for none
ALTER TABLE claims ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
