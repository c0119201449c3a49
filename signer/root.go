package signer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// topRoles are the roles that a root gives keys to, in the order in which people are told of them.
var topRoles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// NewRootOptions describe the first root of a repository or of a director.
type NewRootOptions struct {
	Out      string          // bundle folder to make; it must not exist
	Roles    map[string]Keys // by role: root, targets, snapshot, timestamp; all four
	Lifetime time.Duration   // until the root and the first targets file expire
	Director bool            // a tenant's director: its targets key is online, and it has no targets file
	Now      time.Time
}

// NewRoot makes a bundle with 1.root.json and, but for a director, an empty 1.targets.json, all unsigned.
func NewRoot(ctx context.Context, o NewRootOptions) (*Draft, error) {
	if err := checkBorn(o.Now); err != nil {
		return nil, err
	}
	root := metadata.Root()
	labels := map[string]string{}
	for _, role := range topRoles {
		keys := o.Roles[role]
		if err := keys.check(role); err != nil {
			return nil, err
		}
		if err := enter(&root.Signed, role, keys.Keys, labels); err != nil {
			return nil, err
		}
		root.Signed.Roles[role].Threshold = keys.Threshold
	}
	stamp(&root.Signed.UnrecognizedFields, &root.Signed.Expires, o.Now, o.Lifetime)
	setOwners(root.Signed.UnrecognizedFields, labels, root.Signed.Keys)
	drafts := drafts{root: root}
	if !o.Director {
		drafts.targets = metadata.Targets()
		stamp(&drafts.targets.Signed.UnrecognizedFields, &drafts.targets.Signed.Expires, o.Now, o.Lifetime)
	}
	return writeDraft(ctx, o.Out, drafts, nil, rootWarnings(root, o.Director))
}

// enter gives keys a role in root and remembers their labels.
func enter(root *metadata.RootType, role string, keys []Public, labels map[string]string) error {
	for _, k := range keys {
		if slices.Contains(root.Roles[role].KeyIDs, k.ID) {
			return refuse("key %s has the role %s already", k.Person, role)
		}
		if err := root.AddKey(k.Key, role); err != nil {
			return fmt.Errorf("adding key %s to %s: %w", k.Person, role, err)
		}
		if k.Owner != "" {
			labels[k.ID] = k.Owner
		}
	}
	return nil
}

// RoleChange is what a rotation does to one role.
type RoleChange struct {
	Add       []Public
	Remove    []string // each a public key file, an owner, or 8 or more digits of a key id
	Threshold int      // 0: as it is
}

// RotateRootOptions describe a root's successor. Without any change it only renews the expiry.
type RotateRootOptions struct {
	Out      string
	Base     *Base // the published state
	Changes  map[string]RoleChange
	Lifetime time.Duration
	Director bool
	Now      time.Time
}

// RotateRoot makes a bundle with the successor of the published root. Where the published targets file would not
// be valid under it, or is expired, the bundle also has that file's successor: one could not be published without
// the other.
func RotateRoot(ctx context.Context, o RotateRootOptions) (*Draft, error) {
	if o.Base.Empty() {
		return nil, refuse("the repository has no root yet; the first is made by: root new")
	}
	if err := o.Base.checkClock(o.Now); err != nil {
		return nil, err
	}
	root, err := cloneMeta(o.Base.Root())
	if err != nil {
		return nil, err
	}
	labels := owners(root.Signed.UnrecognizedFields)
	for _, role := range topRoles {
		if err := changeRole(&root.Signed, role, o.Changes[role], labels); err != nil {
			return nil, err
		}
	}
	root.Signed.Version++
	stamp(&root.Signed.UnrecognizedFields, &root.Signed.Expires, o.Now, o.Lifetime)
	setOwners(root.Signed.UnrecognizedFields, labels, root.Signed.Keys)
	drafts := drafts{root: root}
	old := o.Base.Targets()
	if old != nil && (root.VerifyDelegate(metadata.TARGETS, old) != nil || !old.Signed.Expires.After(o.Now)) {
		if drafts.targets, err = successor(old, o.Now, o.Lifetime); err != nil {
			return nil, err
		}
	}
	warnings := append(o.Base.warnings(o.Now, ""), rootWarnings(root, o.Director)...)
	return writeDraft(ctx, o.Out, drafts, o.Base, warnings)
}

func changeRole(root *metadata.RootType, role string, c RoleChange, labels map[string]string) error {
	r := root.Roles[role]
	if r == nil {
		return refuse("the published root has no role %s", role)
	}
	for _, given := range c.Remove {
		id, err := findKey(given, r.KeyIDs, labels)
		if err != nil {
			return fmt.Errorf("removing a key from %s: %w", role, err)
		}
		if err := root.RevokeKey(id, role); err != nil {
			return fmt.Errorf("removing key %s from %s: %w", given, role, err)
		}
	}
	if err := enter(root, role, c.Add, labels); err != nil {
		return err
	}
	if c.Threshold != 0 {
		r.Threshold = c.Threshold
	}
	return checkThreshold(role, r.Threshold, len(r.KeyIDs))
}

// rootWarnings tell what is allowed and seldom meant.
func rootWarnings(root *rootMeta, director bool) []string {
	var warnings []string
	s := root.Signed
	labels := owners(s.UnrecognizedFields)
	for _, id := range slices.Sorted(maps.Keys(s.Keys)) {
		offline := rolesOf(&s, id, metadata.ROOT, metadata.TARGETS)
		online := rolesOf(&s, id, metadata.SNAPSHOT, metadata.TIMESTAMP)
		if director {
			offline = rolesOf(&s, id, metadata.ROOT)
			online = rolesOf(&s, id, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP)
		}
		if len(offline) > 0 && len(online) > 0 {
			warnings = append(warnings, fmt.Sprintf("key %s serves %s, which belongs offline, and %s, which the server signs by itself; "+
				"whoever takes over the server has it", Person{labels[id], id}, list(offline), list(online)))
		}
	}
	if r := s.Roles[metadata.ROOT]; r.Threshold == 1 {
		warnings = append(warnings, "one root key alone can replace every other key; a threshold of 2 or more is safer")
	} else if r.Threshold == len(r.KeyIDs) {
		warnings = append(warnings, fmt.Sprintf("all %d root keys must sign; if one is lost the root can never be changed again", r.Threshold))
	}
	return warnings
}

// rolesOf are those of roles that key id serves.
func rolesOf(root *metadata.RootType, id string, roles ...string) []string {
	return slices.DeleteFunc(slices.Clone(roles), func(role string) bool {
		return root.Roles[role] == nil || !slices.Contains(root.Roles[role].KeyIDs, id)
	})
}
