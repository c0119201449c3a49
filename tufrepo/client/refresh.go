package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Refresh brings the metadata of the top-level roles up to date. It fails with
// an *Error of any class; what was verified before the failing step is kept,
// and until a Refresh succeeds nothing is resolved.
func (c *Client) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refresh(ctx, &expectation{})
}

func (c *Client) refresh(ctx context.Context, x *expectation) error {
	c.set = nil
	t := &c.trust
	if err := t.walk(ctx); err != nil {
		return err
	}
	s := newSet(t)
	s.expected = x
	if !t.root.Signed.Expires.After(s.tm.RefTime) {
		return expired(metadata.ROOT, t.root.Signed.Expires, s.tm.RefTime)
	}
	if err := s.timestamp(ctx); err != nil {
		return err
	}
	if err := s.snapshot(ctx); err != nil {
		return err
	}
	if err := s.load(ctx, metadata.TARGETS, metadata.ROOT); err != nil {
		return err
	}
	if err := s.policy(ctx); err != nil {
		return err
	}
	c.set = s
	return nil
}

// set is what one refresh verified. Its time stands still (specification 5.1).
type set struct {
	*trust
	tm  *trustedmetadata.TrustedMetadata
	raw map[string][]byte  // verified bytes of targets roles
	by  map[[2]string]bool // {delegator, role} under which they were verified

	expected *expectation
}

func newSet(t *trust) *set {
	return &set{
		trust: t,
		tm: &trustedmetadata.TrustedMetadata{
			Root: t.root, Targets: map[string]*metadata.Metadata[metadata.TargetsType]{}, RefTime: t.now(),
		},
		raw: map[string][]byte{},
		by:  map[[2]string]bool{},
	}
}

const timestampName = "metadata/timestamp.json"

// timestamp is specification 5.4.
func (s *set) timestamp(ctx context.Context) error {
	raw, err := s.get(ctx, metadata.TIMESTAMP, timestampName, s.limits.Timestamp)
	if err != nil {
		return err
	}
	md, err := s.parser.timestamp(raw)
	if err != nil {
		return err
	}
	// go-tuf says expired before we can say rolled back, which is worse.
	err = guard(metadata.TIMESTAMP, ErrSignature, func() error { _, err := s.tm.UpdateTimestamp(raw); return err })
	if err != nil && !errors.Is(err, ErrExpired) {
		return err
	}
	before := s.floors
	if err := s.checkTimestamp(raw, &md.Signed); err != nil {
		s.floors = before
		return err
	}
	s.expected.snapshot(s)
	if err := s.saveFloors(before); err != nil {
		return err
	}
	return s.keep(metadata.TIMESTAMP, raw)
}

// checkTimestamp holds a timestamp that is signed against the floors and time,
// and raises both.
func (s *set) checkTimestamp(raw []byte, ts *metadata.TimestampType) error {
	digest, err := signedDigest(raw)
	if err != nil {
		return fail(ErrFormat, metadata.TIMESTAMP, err)
	}
	at, names := floor{ts.Version, digest}, metaFloor(ts.Meta["snapshot.json"])
	if err := s.floors.Timestamp.check(metadata.TIMESTAMP, at, s.limits.VersionJump); err != nil {
		return err
	}
	if err := s.floors.Snapshot.check(metadata.SNAPSHOT, names, s.limits.VersionJump); err != nil {
		return err
	}
	if !ts.Expires.After(s.tm.RefTime) {
		return expired(metadata.TIMESTAMP, ts.Expires, s.tm.RefTime)
	}
	s.floors.Timestamp, s.floors.Snapshot = at, names
	s.raiseTime(issuedAt(ts), ts.Expires)
	if s.floors.Time.After(s.tm.RefTime) {
		s.tm.RefTime = s.floors.Time
	}
	return nil
}

// keep writes what was verified into the cache, unless it is there already.
func (s *set) keep(role string, raw []byte) error {
	if bytes.Equal(s.store.read(role, s.limits.file()), raw) {
		return nil
	}
	return s.store.write(role, raw)
}

// snapshot is specification 5.5. A cached one serves if it is what the
// timestamp names.
func (s *set) snapshot(ctx context.Context) error {
	want := s.tm.Timestamp.Signed.Meta["snapshot.json"]
	limit, err := limitOf(metadata.SNAPSHOT, want, s.limits.Snapshot)
	if err != nil {
		return err
	}
	if raw := s.store.read(metadata.SNAPSHOT, s.limits.file()); raw != nil && s.tryCached(metadata.SNAPSHOT, raw, want, s.takeSnapshot) == nil {
		return nil
	}
	raw, err := s.get(ctx, metadata.SNAPSHOT, s.fileName(metadata.SNAPSHOT, want.Version), limit)
	if err != nil {
		return err
	}
	if err := s.takeSnapshot(raw, want); err != nil {
		return err
	}
	return s.keep(metadata.SNAPSHOT, raw)
}

func (s *set) tryCached(role string, raw []byte, want *metadata.MetaFiles, take func([]byte, *metadata.MetaFiles) error) error {
	err := take(raw, want)
	if err != nil {
		s.log.Debug("the cached file does not serve, fetching", "role", role, "reason", err)
	}
	return err
}

func (s *set) takeSnapshot(raw []byte, want *metadata.MetaFiles) error {
	if err := s.matches(metadata.SNAPSHOT, raw, want); err != nil {
		return err
	}
	md, err := s.parser.snapshot(raw)
	if err != nil {
		return err
	}
	if err := s.trust.verify(metadata.SNAPSHOT, md); err != nil {
		return err
	}
	if md.Signed.Version != want.Version {
		return failf(ErrRollback, metadata.SNAPSHOT, "version %d where the timestamp names %d", md.Signed.Version, want.Version)
	}
	before := s.floors
	if err := s.floors.checkSnapshot(md.Signed.Meta, s.limits.VersionJump); err != nil {
		return err
	}
	if !md.Signed.Expires.After(s.tm.RefTime) {
		return expired(metadata.SNAPSHOT, md.Signed.Expires, s.tm.RefTime)
	}
	err = guard(metadata.SNAPSHOT, ErrSignature, func() error { _, err := s.tm.UpdateSnapshot(raw, false); return err })
	if err != nil {
		return err
	}
	s.floors.Roles = snapshotFloors(md.Signed.Meta)
	s.expected.roles(s)
	return s.saveFloors(before)
}

// matches holds a file against what its parent says of it, before it is parsed.
func (s *set) matches(role string, raw []byte, want *metadata.MetaFiles) error {
	return guard(role, ErrCorrupt, func() error { return want.VerifyLengthHashes(raw) })
}

// limitOf is the most that a file may have: what its parent says, never more
// than most.
func limitOf(role string, m *metadata.MetaFiles, most int64) (int64, error) {
	if m.Length > most {
		return 0, failf(ErrTooLarge, role, "%d bytes are announced, at most %d are allowed", m.Length, most)
	}
	if m.Length > 0 {
		return m.Length, nil
	}
	return most, nil
}

func (s *set) fileName(role string, version int64) string {
	if !s.tm.Root.Signed.ConsistentSnapshot {
		return fmt.Sprintf("metadata/%s.json", escapeRole(role))
	}
	return fmt.Sprintf("metadata/%d.%s.json", version, escapeRole(role))
}

func roleOf(file string) string { return strings.TrimSuffix(file, ".json") }
