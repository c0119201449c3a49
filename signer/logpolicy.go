package signer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// NoLog is a policy that asks for no proof: with it a repository leaves its log.
const NoLog = "# releases need not stand in a log\nquorum none\n"

// ReadLogPolicy reads a policy file.
func ReadLogPolicy(path string) (*tlog.Policy, []byte, error) {
	raw, err := readFile(path, tlog.MaxPolicy)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the log policy: %w", err)
	}
	p, err := tlog.ParsePolicy(raw)
	if err != nil {
		return nil, nil, refuse("%s: %w", path, err)
	}
	return p, raw, nil
}

// SetLogPolicy drafts a targets file that names a log policy: from then on
// devices want proof that a release stands in one of its logs. o.Product is not
// used.
func SetLogPolicy(ctx context.Context, o ProductOptions, policy []byte) (*Draft, error) {
	if _, err := tlog.ParsePolicy(policy); err != nil {
		return nil, refusal{err}
	}
	return changeTargets(ctx, o, func(d *drafts) error {
		if d.targets.Signed.Targets == nil {
			d.targets.Signed.Targets = map[string]*metadata.TargetFiles{}
		}
		d.targets.Signed.Targets[tlog.PolicyPath] = bundle.PolicyTarget(policy)
		d.policy = policy
		return nil
	})
}

// policyChanges says in words what a targets file changes in the log policy; old
// is nil for the first. None if nothing changes.
func (f *folder) policyChanges(old, targets *targetsMeta) ([]string, error) {
	var before *metadata.TargetFiles
	if old != nil {
		before = old.Signed.Targets[tlog.PolicyPath]
	}
	now := targets.Signed.Targets[tlog.PolicyPath]
	switch {
	case now == nil && before == nil, now != nil && before != nil && now.Equal(*before):
		return nil, nil
	case now == nil:
		return []string{"log policy leaves: devices that know it go on asking for proofs"}, nil
	}
	head := "log policy enters: devices refuse releases that do not stand in the log"
	if before != nil {
		head = "log policy changes"
	}
	raw, err := readFile(filepath.Join(f.dir, "targets", tlog.PolicyPath), tlog.MaxPolicy)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{head, fmt.Sprintf("  its file is not in the bundle; SHA-256 %s", now.Hashes["sha256"])}, nil
	}
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != now.Length || firmware.Sum(raw).String() != now.Hashes["sha256"].String() {
		return nil, refuse("targets/%s is not the log policy that the targets file names", tlog.PolicyPath)
	}
	policy, err := tlog.ParsePolicy(raw)
	if err != nil {
		return nil, refusal{err}
	}
	if !policy.Required() {
		return []string{"log policy asks for no log: releases need no proof any more"}, nil
	}
	return append([]string{head}, policyWords(policy)...), nil
}

// policyWords tell of a policy in indented lines.
func policyWords(p *tlog.Policy) []string {
	var out []string
	for _, l := range p.Logs {
		out = append(out, fmt.Sprintf("  log %s, key %s", l.Origin, l.Key))
	}
	for _, w := range p.Witnesses {
		out = append(out, fmt.Sprintf("  witness %s, key %s", w.Name, w.Key))
	}
	return append(out, "  witnesses that must have seen a release: "+p.Quorum())
}

// allTargetsChanges is targetsChanges with the log policy.
func (f *folder) allTargetsChanges(old, targets *targetsMeta) ([]string, error) {
	policy, err := f.policyChanges(old, targets)
	if err != nil {
		return nil, err
	}
	products := targetsChanges(old, targets)
	if len(policy) > 0 && (products[0] == nothingButExpiry || products[0] == noProducts) {
		return policy, nil
	}
	return append(products, policy...), nil
}

// logged verifies the proofs that the releases of a repository stand in the log, where its policy wants them.
func (v *verifier) logged(base *Base) error {
	policy, _ := base.Policy()
	if policy == nil && base.PolicyFile() != "" {
		v.cannot("that the releases stand in the log: this copy of the repository does not hold the log policy")
	}
	if policy == nil || !policy.Required() {
		return nil
	}
	dir, n := v.VerifyOptions.Path, 0
	if v.base != nil {
		dir = v.Repo
	}
	for _, product := range base.Products() {
		for _, e := range base.Releases(product) {
			if err := proved(dir, policy, e); err != nil {
				return refuse("release %s is not proved to stand in the log: %w", e.Path, err)
			}
			n++
		}
	}
	v.prove("%d releases stand in the log; witnesses that have seen them: %s", n, policy.Quorum())
	return nil
}

func proved(dir string, policy *tlog.Policy, e bundle.Entry) error {
	entry, err := e.LogEntry()
	if err != nil {
		return err
	}
	raw, err := readFile(filepath.Join(dir, filepath.FromSlash(bundle.ProofName(e.Path, e.SHA256, policy))), tlog.MaxProof)
	if err != nil {
		return err
	}
	_, err = policy.Verify(entry, raw)
	return err
}
