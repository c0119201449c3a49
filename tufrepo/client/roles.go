package client

import (
	"context"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// load makes role's metadata part of the set, verified under delegator
// (specification 5.6). A role verified under one delegator is verified anew
// under another.
func (s *set) load(ctx context.Context, role, delegator string) error {
	pair := [2]string{delegator, role}
	if s.by[pair] {
		return nil
	}
	if delegator != metadata.ROOT && (reserved(role) || role == "" || len(role) > maxRoleName) {
		return failf(ErrFormat, delegator, "it delegates to %.40q, which is not the name of a delegated role", role)
	}
	want := s.tm.Snapshot.Signed.Meta[role+".json"]
	if want == nil {
		return failf(ErrFormat, metadata.SNAPSHOT, "it does not list %q", role)
	}
	take := func(raw []byte, want *metadata.MetaFiles) error { return s.takeTargets(raw, want, pair) }
	if raw := s.raw[role]; raw != nil {
		return take(raw, want)
	}
	limit, err := limitOf(role, want, s.limits.Targets)
	if err != nil {
		return err
	}
	if raw := s.store.read(role, s.limits.file()); raw != nil && s.tryCached(role, raw, want, take) == nil {
		return nil
	}
	raw, err := s.get(ctx, role, s.fileName(role, want.Version), limit)
	if err != nil {
		return err
	}
	if err := take(raw, want); err != nil {
		return err
	}
	return s.keep(role, raw)
}

// takeTargets verifies a targets role and adds it to the set.
func (s *set) takeTargets(raw []byte, want *metadata.MetaFiles, pair [2]string) error {
	delegator, role := pair[0], pair[1]
	if err := s.matches(role, raw, want); err != nil {
		return err
	}
	md, signed, err := s.parser.targets(role, raw)
	if err != nil {
		return err
	}
	if err := s.verifyUnder(delegator, role, md, signed); err != nil {
		return err
	}
	if err := s.current(role, md, want); err != nil {
		return err
	}
	s.tm.Targets[role] = md
	pruneTargets(&s.tm.Targets[role].Signed)
	s.raw[role], s.by[pair] = raw, true
	s.expected.release(s, role)
	return nil
}

// current asks of a role what go-tuf's UpdateDelegatedTargets does behind the signatures (specification 5.6.4 and 5.6.5), which
// would parse all of it again: that takes as long as everything else, and grows with the releases of a product.
func (s *set) current(role string, md *metadata.Metadata[metadata.TargetsType], want *metadata.MetaFiles) error {
	snapshot := s.tm.Snapshot.Signed
	switch named := s.tm.Timestamp.Signed.Meta[metadata.SNAPSHOT+".json"]; {
	case !snapshot.Expires.After(s.tm.RefTime):
		return expired(metadata.SNAPSHOT, snapshot.Expires, s.tm.RefTime)
	case snapshot.Version != named.Version:
		return failf(ErrRollback, metadata.SNAPSHOT, "it has version %d, the timestamp names %d", snapshot.Version, named.Version)
	case md.Signed.Version != want.Version:
		return failf(ErrRollback, role, "it has version %d, the snapshot names %d", md.Signed.Version, want.Version)
	case !md.Signed.Expires.After(s.tm.RefTime):
		return expired(role, md.Signed.Expires, s.tm.RefTime)
	}
	return nil
}

// verifyUnder is specification 5.6.3. signed is what is signed of md, or nil if that has to be printed.
func (s *set) verifyUnder(delegator, role string, md *metadata.Metadata[metadata.TargetsType], signed []byte) error {
	if delegator == metadata.ROOT {
		return s.trust.verify(role, md)
	}
	by := s.tm.Targets[delegator]
	return guard(role, ErrSignature, func() error {
		if signed != nil && vouched(by.Signed.Delegations, role, md.Signatures, signed) {
			return nil
		}
		return by.VerifyDelegate(role, md)
	})
}
