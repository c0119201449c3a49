package bundle

import (
	"bytes"
	"fmt"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PolicyTarget makes the entry of a log policy in the targets role.
func PolicyTarget(raw []byte) *metadata.TargetFiles {
	sum := firmware.Sum(raw)
	return &metadata.TargetFiles{Path: tlog.PolicyPath, Length: int64(len(raw)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// policyEntry is what a targets role says of the log policy; the zero Blob if
// it names none.
func policyEntry(m *metadata.Metadata[metadata.TargetsType]) (firmware.Blob, error) {
	if m == nil || m.Signed.Targets[tlog.PolicyPath] == nil {
		return firmware.Blob{}, nil
	}
	t := m.Signed.Targets[tlog.PolicyPath]
	b := firmware.Blob{Length: t.Length}
	if len(t.Hashes) != 1 || len(t.Hashes["sha256"]) != len(b.SHA256) || t.Custom != nil || len(t.UnrecognizedFields) > 0 {
		return b, fmt.Errorf("target %s has more or other members than length and one sha256", tlog.PolicyPath)
	}
	if t.Length < 1 || t.Length > tlog.MaxPolicy {
		return b, fmt.Errorf("target %s: length %d is not within 1 and %d", tlog.PolicyPath, t.Length, tlog.MaxPolicy)
	}
	copy(b.SHA256[:], t.Hashes["sha256"])
	return b, nil
}

// parsePolicy reads raw as the log policy that a targets role names.
func parsePolicy(raw []byte, want firmware.Blob) (*tlog.Policy, error) {
	if int64(len(raw)) != want.Length || firmware.Sum(raw) != want.SHA256 {
		return nil, fmt.Errorf("the log policy was altered: its length or SHA-256 is not what the targets role says")
	}
	return tlog.ParsePolicy(raw)
}

// loadPolicy reads the log policy that is in force. A copy of the repository's
// metadata alone does not hold it; then its content is not known.
func (b *Base) loadPolicy() error {
	want, err := policyEntry(b.Targets())
	if err != nil || want.Length == 0 {
		return err
	}
	raw, err := readOptional(b.fsys, PolicyName(want.SHA256), tlog.MaxPolicy)
	if err != nil || raw == nil {
		return err
	}
	if b.policy, err = parsePolicy(raw, want); err != nil {
		return fmt.Errorf("%s: %w", PolicyName(want.SHA256), err)
	}
	b.policyText = raw
	return nil
}

// Policy is the log policy in force and its file. Both are nil if there is none,
// or if the folder holds metadata alone.
func (b *Base) Policy() (*tlog.Policy, []byte) { return b.policy, b.policyText }

// PolicyFile names the log policy in force, or "".
func (b *Base) PolicyFile() string {
	want, err := policyEntry(b.Targets())
	if err != nil || want.Length == 0 {
		return ""
	}
	return PolicyName(want.SHA256)
}

// checkPolicy judges the log policy of the targets role that will be in force.
// One that is left out would stay in force on devices that know it.
func (c *checker) checkPolicy() error {
	old, err := policyEntry(c.base.Targets())
	if err != nil {
		return err
	}
	want, err := policyEntry(c.targets)
	if err != nil {
		return nil // refused with the role
	}
	have := c.Bundle.policy
	c.plan.Policy = c.base.policy
	switch {
	case want.Length == 0 && old.Length != 0:
		c.note(Refused, metadata.TARGETS, "", "it leaves the log policy out: devices that know the policy go on asking for proofs",
			"keep it, or put one without logs in its place with fairlead-sign log-policy")
	case want.Length == 0:
	case have != nil && firmware.Sum(have) == want.SHA256:
		c.used[policyFile] = true
		c.newPolicy(have, want)
	case want != old:
		c.note(Refused, metadata.TARGETS, policyFile, "the log policy that targets names is missing, or is another", doRemake)
	}
	return nil
}

func (c *checker) newPolicy(raw []byte, want firmware.Blob) {
	p, err := parsePolicy(raw, want)
	if err != nil {
		c.refuse(metadata.TARGETS, policyFile, err)
		return
	}
	c.plan.Policy = p
	if c.base.policyText == nil || !bytes.Equal(c.base.policyText, raw) {
		c.plan.PolicyFiles = []File{{Name: PolicyName(want.SHA256), From: policyFile, Blob: want, Data: raw}}
	}
}
