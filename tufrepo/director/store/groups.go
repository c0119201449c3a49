package store

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of a group's path.
const (
	MaxGroup       = 200 // bytes
	MaxGroupLevels = 8
)

// CheckGroup says whether path, "site/building/room", may name a group.
func CheckGroup(path string) error {
	parts := strings.Split(path, "/")
	if len(path) > MaxGroup || len(parts) > MaxGroupLevels {
		return fmt.Errorf("group %.40q: a path has at most %d levels and %d bytes", path, MaxGroupLevels, MaxGroup)
	}
	for _, p := range parts {
		if p != strings.TrimSpace(p) || p == "" || p == "." || p == ".." || strings.ContainsFunc(p, strange) {
			return fmt.Errorf("group %q: %q is no name: use letters, digits, and -_. and spaces within", path, p)
		}
	}
	return nil
}

func strange(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_. ", r))
}

// stored is how a path stands in the database; the empty one is no group.
func stored(path string) string {
	if path == "" {
		return ""
	}
	return path + "/"
}

func shown(stored string) string { return strings.TrimSuffix(stored, "/") }

// below are the bounds of the stored paths at and below a path: from <= path < to.
func below(path string) (from, to string) { return path + "/", path + "0" }

// Group is a node of a tenant's tree.
type Group struct {
	Path    string // "site/building/room"
	Created time.Time
	Devices int64 // in it and not below, without revoked ones
}

func scanGroup(r scanner) (Group, error) {
	var g Group
	var created int64
	err := r.Scan(&g.Path, &created, &g.Devices)
	g.Path, g.Created = shown(g.Path), fromUnix(created)
	return g, err
}

// Groups returns a tenant's groups by path.
func (t *Tx) Groups(tenant string) ([]Group, error) {
	return list(t, scanGroup, `SELECT path, created, (SELECT count(*) FROM devices d
	    WHERE d.tenant = groups.tenant AND d.grp = groups.path AND d.revoked = 0)
	  FROM groups WHERE tenant = ? ORDER BY path`, tenant)
}

// AddGroup makes a group and those above it. One that exists stays as it is.
func (t *Tx) AddGroup(tenant, path string, now time.Time) error {
	if err := CheckGroup(path); err != nil {
		return err
	}
	_, err := get(t, scanOne[string], "SELECT path FROM groups WHERE tenant = ? AND path = ?", tenant, stored(path))
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	for i, c := range stored(path) {
		if c != '/' {
			continue
		}
		if err := t.do("INSERT INTO groups (tenant, path, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", tenant, stored(path)[:i+1], now.Unix()); err != nil {
			return err
		}
	}
	return nil
}

// MoveGroup gives a group, with all that is below it, another path. ErrNotFound if it does
// not exist, ErrConflict if the other does.
func (t *Tx) MoveGroup(tenant, path, to string, now time.Time) error {
	all, err := t.below(tenant, path)
	if err != nil {
		return err
	}
	if there, err := t.below(tenant, to); err != nil || len(there) > 0 {
		return cmp.Or(err, fmt.Errorf("%w: group %s", ErrConflict, to))
	}
	switch {
	case len(all) == 0:
		return ErrNotFound
	case strings.HasPrefix(to, path+"/"):
		return fmt.Errorf("group %s cannot be moved below itself", path)
	}
	for _, p := range all {
		if err := t.AddGroup(tenant, to+strings.TrimPrefix(p, path), now); err != nil {
			return err
		}
	}
	from, end := below(path)
	for _, table := range []string{"devices", "expected", "codes", "customs"} {
		if err := t.do("UPDATE "+table+" SET grp = ? || substr(grp, ?) WHERE tenant = ? AND grp >= ? AND grp < ?",
			stored(to), len(from)+1, tenant, from, end); err != nil {
			return err
		}
	}
	return t.do("DELETE FROM groups WHERE tenant = ? AND path >= ? AND path < ?", tenant, from, end)
}

// below are the paths of a group and all that are below it.
func (t *Tx) below(tenant, path string) ([]string, error) {
	from, to := below(path)
	all, err := list(t, scanOne[string], "SELECT path FROM groups WHERE tenant = ? AND path >= ? AND path < ? ORDER BY path", tenant, from, to)
	for i := range all {
		all[i] = shown(all[i])
	}
	return all, err
}

// RemoveGroup removes a group that has no device and no group below it, else ErrConflict.
// ErrNotFound if it does not exist.
func (t *Tx) RemoveGroup(tenant, path string) error {
	all, err := t.below(tenant, path)
	if err != nil || len(all) == 0 {
		return cmp.Or(err, ErrNotFound)
	}
	devices, err := get(t, scanOne[int64], "SELECT count(*) FROM devices WHERE tenant = ? AND grp = ? AND revoked = 0", tenant, stored(path))
	if err != nil {
		return err
	}
	if len(all) > 1 || devices > 0 {
		return fmt.Errorf("%w: group %s has %d devices and %d groups below it", ErrConflict, path, devices, len(all)-1)
	}
	for _, table := range []string{"devices", "expected", "codes", "customs"} {
		if err := t.do("UPDATE "+table+" SET grp = '' WHERE tenant = ? AND grp = ?", tenant, stored(path)); err != nil {
			return err
		}
	}
	return t.do("DELETE FROM groups WHERE tenant = ? AND path = ?", tenant, stored(path))
}
