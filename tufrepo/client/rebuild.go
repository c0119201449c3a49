package client

import (
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// rebuild makes floors from what the cache holds, when both copies of the
// floors are lost. What the root's keys signed is better than nothing.
func (t *trust) rebuild() {
	raw := t.store.read(metadata.TIMESTAMP, t.limits.Timestamp)
	ts, err := t.parser.timestamp(raw)
	if err != nil || t.verify(metadata.TIMESTAMP, ts) != nil {
		return
	}
	digest, err := signedDigest(raw)
	if err != nil {
		return
	}
	t.floors.Timestamp = floor{ts.Signed.Version, digest}
	t.floors.Snapshot = metaFloor(ts.Signed.Meta["snapshot.json"])
	t.raiseTime(issuedAt(&ts.Signed), ts.Signed.Expires)

	raw = t.store.read(metadata.SNAPSHOT, t.limits.Snapshot)
	snapshot, err := t.parser.snapshot(raw)
	if err == nil && t.verify(metadata.SNAPSHOT, snapshot) == nil {
		t.floors.Roles = snapshotFloors(snapshot.Signed.Meta)
	}
}

func (t *trust) verify(role string, md any) error {
	return guard(role, ErrSignature, func() error { return t.root.VerifyDelegate(role, md) })
}
