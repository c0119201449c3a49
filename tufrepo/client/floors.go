package client

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// floor is the newest of something that was trusted. Digest is empty where
// only the version was promised.
type floor struct {
	Version int64  `json:"version"`
	Digest  string `json:"digest,omitempty"`
}

// floors is what must not fall. A zero floor lets everything pass.
type floors struct {
	Schema    int              `json:"schema"`
	Root      floor            `json:"root"`
	Timestamp floor            `json:"timestamp"`
	Snapshot  floor            `json:"snapshot"`        // as the timestamp names it
	Roles     map[string]floor `json:"roles,omitempty"` // as the snapshot names them
	Time      time.Time        `json:"time"`

	// Of a Client only: the newest log policy, the target tlog.PolicyPath byte
	// for byte, and the version of the targets role that last named it. Later
	// roles that name none change nothing.
	Policy   []byte `json:"policy,omitempty"`
	PolicyAt int64  `json:"policy_at,omitempty"`

	// Of a Director only: the newest direction, and its bytes.
	Direction floor  `json:"direction,omitzero"`
	Raw       []byte `json:"raw,omitempty"`
}

const floorsSchema = 1

func parseFloors(b []byte) (floors, error) {
	f := floors{Schema: floorsSchema}
	if b == nil {
		return f, nil
	}
	err := strictjson.Decode(b, strictjson.Options{MaxBytes: len(b)}, &f)
	if err == nil && f.Schema != floorsSchema {
		err = failf(ErrStore, "", "the floors have schema %d, this program knows %d", f.Schema, floorsSchema)
	}
	return f, err
}

func (f floors) encode() ([]byte, error) { return json.Marshal(f) }

func (f floors) equal(g floors) bool {
	return f.Root == g.Root && f.Timestamp == g.Timestamp && f.Snapshot == g.Snapshot &&
		maps.Equal(f.Roles, g.Roles) && f.Time.Equal(g.Time) && f.Direction == g.Direction && bytes.Equal(f.Raw, g.Raw) &&
		bytes.Equal(f.Policy, g.Policy) && f.PolicyAt == g.PolicyAt
}

// check holds a new version and digest against a floor.
func (f floor) check(role string, n floor, jump int64) error {
	switch {
	case n.Version < 1:
		return failf(ErrFormat, role, "version %d", n.Version)
	case n.Version < f.Version:
		return failf(ErrRollback, role, "version %d is offered, version %d was seen before", n.Version, f.Version)
	case n.Version-f.Version > jump:
		return failf(ErrRollback, role, "version %d leaps too far ahead of %d", n.Version, f.Version)
	case n.Version == f.Version && n.Digest != f.Digest && n.Digest != "" && f.Digest != "":
		return failf(ErrConflict, role, "two different files have version %d: keeping the one seen first", n.Version)
	}
	return nil
}

// checkSnapshot holds what a snapshot lists against what was trusted before. No
// role may fall, and none may vanish.
func (f floors) checkSnapshot(meta map[string]*metadata.MetaFiles, jump int64) error {
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		if err := f.Roles[name].check(name, metaFloor(meta[name]), jump); err != nil {
			return err
		}
	}
	for name := range f.Roles {
		if meta[name] == nil {
			return failf(ErrRollback, metadata.SNAPSHOT, "%s is no longer listed", name)
		}
	}
	return nil
}

// metaFloor is what a parent says of a file.
func metaFloor(m *metadata.MetaFiles) floor {
	return floor{Version: m.Version, Digest: m.Hashes["sha256"].String()}
}

func snapshotFloors(meta map[string]*metadata.MetaFiles) map[string]floor {
	roles := make(map[string]floor, len(meta))
	for name, m := range meta {
		roles[name] = metaFloor(m)
	}
	return roles
}

// rotated resets the floors that a thief of a key that next withdraws could
// have raised (specification 5.3.11). What the timestamp promises is lost with
// its key, what the snapshot promises with its own. The log policy stays; but
// where a key of targets is withdrawn, the next policy may be of a lower version.
func (f floors) rotated(last, next *metadata.RootType) floors {
	if withdrawn(last, next, metadata.TIMESTAMP) {
		f.Timestamp, f.Snapshot = floor{}, floor{}
	}
	if withdrawn(last, next, metadata.SNAPSHOT) {
		f.Roles = nil
	}
	if withdrawn(last, next, metadata.TARGETS) {
		f.PolicyAt = 0
	}
	return f
}

// withdrawn tells whether a key that could sign for role no longer can.
func withdrawn(last, next *metadata.RootType, role string) bool {
	for _, id := range last.Roles[role].KeyIDs {
		if !slices.Contains(next.Roles[role].KeyIDs, id) {
			return true
		}
	}
	return false
}
