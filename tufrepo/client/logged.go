package client

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// policy learns the log policy that the targets role names, and keeps it with
// the floors: durably, before anything is resolved. A role that names none
// leaves the one before in force, and so does one older than that which named
// it, as there may be after a key of snapshot was withdrawn.
func (s *set) policy(ctx context.Context) error {
	role := &s.tm.Targets[metadata.TARGETS].Signed
	entry := role.Targets[tlog.PolicyPath]
	if entry == nil || role.Version < s.floors.PolicyAt {
		return nil
	}
	t := newTarget(tlog.PolicyPath, metadata.TARGETS, entry)
	raw := s.floors.Policy
	if raw == nil || firmware.Sum(raw) != t.SHA256 {
		var err error
		if raw, err = s.fetchPolicy(ctx, t); err != nil {
			return err
		}
		s.log.Info("new log policy", "targets", role.Version)
	}
	before := s.floors
	s.floors.Policy, s.floors.PolicyAt = raw, role.Version
	return s.saveFloors(before)
}

func (s *set) fetchPolicy(ctx context.Context, t Target) ([]byte, error) {
	switch {
	case t.Length > tlog.MaxPolicy:
		return nil, failf(ErrTooLarge, t.Path, "%d bytes are announced, at most %d are allowed", t.Length, tlog.MaxPolicy)
	case t.SHA256.IsZero():
		return nil, failf(ErrFormat, t.Path, "it has no SHA-256")
	}
	name := "targets/" + t.Path
	if s.tm.Root.Signed.ConsistentSnapshot {
		name = "targets/" + t.nameHash() + "." + t.Path
	}
	raw, err := s.get(ctx, t.Path, name, t.Length)
	if err != nil {
		return nil, err
	}
	if err := t.Verify(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	if _, err := tlog.ParsePolicy(raw); err != nil {
		return nil, fail(ErrFormat, t.Path, err)
	}
	return raw, nil
}

// checkLogged holds a release against the log, if the policy asks for that. The
// entry is made from the verified target, never from what came beside it.
func (c *Client) checkLogged(ctx context.Context, t Target) error {
	c.mu.Lock()
	policy, err := c.trust.floors.policy()
	c.mu.Unlock()
	if err != nil {
		return failf(ErrNotLogged, t.Path, "the log policy that is in force cannot be read by this program: %w", err)
	}
	if policy == nil {
		return nil
	}
	entry, err := entryOf(t)
	if err != nil {
		return fail(ErrNotLogged, t.Path, err)
	}
	raw, err := c.fetchProof(ctx, t, policy)
	if err != nil {
		return err
	}
	logged, err := policy.Verify(entry, raw)
	if err != nil {
		return fail(ErrNotLogged, t.Path, err)
	}
	c.trust.log.Debug("the release is in the log", "target", t.Path, "log", logged.Origin, "entry", logged.Index, "cosigned", logged.Cosigned)
	return nil
}

// policy is the log policy, if there is one that asks for something.
func (f *floors) policy() (*tlog.Policy, error) {
	if f.Policy == nil {
		return nil, nil
	}
	policy, err := tlog.ParsePolicy(f.Policy)
	if err != nil || !policy.Required() {
		return nil, err
	}
	return policy, nil
}

func entryOf(t Target) ([]byte, error) {
	leaf, err := tlog.NewLeaf(t.Path, firmware.Blob{Length: t.Length, SHA256: t.SHA256}, t.Custom)
	if err != nil {
		return nil, err
	}
	return leaf.Encode()
}

func (c *Client) fetchProof(ctx context.Context, t Target, policy *tlog.Policy) ([]byte, error) {
	name, err := c.targetName(t)
	if err != nil {
		return nil, err
	}
	raw, err := c.trust.get(ctx, t.Path, name+policy.ProofSuffix(), tlog.MaxProof)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failf(ErrNotLogged, t.Path, "there is no proof that the release stands in the log, which policy %s asks for", policy.ID())
	}
	return raw, err
}
