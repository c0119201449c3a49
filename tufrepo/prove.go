package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

// putProofs makes the proofs that the log policy asks for and the repository
// lacks: of the new releases, and of all if the policy is new. The entries go
// into the log here, before snapshot and timestamp are signed.
func (p *publication) putProofs(ctx context.Context) error {
	policy := p.plan.Policy
	if policy == nil {
		if p.plan.Top != nil && p.plan.Top.Signed.Targets[tlog.PolicyPath] != nil {
			return fmt.Errorf("%s is missing in the repository: put the log policy into the bundle, and publish again", p.base.PolicyFile())
		}
		return nil
	}
	if !policy.Required() {
		return nil
	}
	lacking, err := p.lackingProofs(policy)
	if err != nil || len(lacking) == 0 {
		return err
	}
	return p.prove(ctx, policy, lacking)
}

// MissedWitness is a witness that has not cosigned, though enough others have.
type MissedWitness struct {
	Witness string `json:"witness"` // its name in the policy
	Why     string `json:"why"`
}

// proofless is a release without a proof.
type proofless struct {
	bundle.Entry
	leaf []byte
}

func (p *publication) lackingProofs(policy *tlog.Policy) ([]proofless, error) {
	var lacking []proofless
	for _, e := range p.plan.Listed {
		_, err := os.Lstat(p.path(bundle.ProofName(e.Path, e.SHA256, policy)))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking for proofs: %w", err)
		}
		leaf, err := e.LogEntry()
		if err != nil {
			return nil, err
		}
		lacking = append(lacking, proofless{e, leaf})
	}
	return lacking, nil
}

func (p *publication) prove(ctx context.Context, policy *tlog.Policy, lacking []proofless) error {
	l, err := p.believedLog(policy)
	if err != nil {
		return err
	}
	indexes, known, err := p.enter(ctx, l, lacking)
	if err != nil {
		return err
	}
	newest, err := l.Own(ctx)
	if err != nil {
		return err
	}
	missed := func(name string, why error) {
		p.result.Missed = append(p.result.Missed, MissedWitness{name, why.Error()})
	}
	newest.Bytes, err = witness.Collector{Consistency: l.Consistency, Known: known, Missed: missed}.Collect(ctx, policy, newest.Bytes)
	if err != nil {
		return fmt.Errorf("having the log's checkpoint cosigned: %w", err)
	}
	if err := p.change(logName+"/checkpoint", func() error { return l.Keep(ctx, newest.Bytes) }); err != nil {
		return fmt.Errorf("keeping the log's checkpoint: %w", err)
	}
	for i, e := range lacking {
		raw, err := l.Prove(ctx, indexes[i], newest)
		if err != nil {
			return err
		}
		if _, err := policy.Verify(e.leaf, raw); err != nil {
			return fmt.Errorf("the proof of release %s: %w", e.Path, err)
		}
		if err := p.write(bundle.ProofName(e.Path, e.SHA256, policy), raw); err != nil {
			return err
		}
	}
	p.result.Logged, p.result.LogSize = len(lacking), newest.Size
	return nil
}

func (p *publication) believedLog(policy *tlog.Policy) (*logdir.Log, error) {
	l, vkey, err := p.openLog()
	if err != nil {
		return nil, fmt.Errorf("the policy asks for proofs: %w", err)
	}
	if believed, ok := policy.Log(l.Origin()); !ok || believed.Key != vkey {
		return nil, fmt.Errorf("the policy does not believe this repository's log, %s", vkey)
	}
	return l, nil
}

// enter returns the numbers of the releases in the log, and the size that
// witnesses have probably seen. New ones are added; those that were published
// before the policy came may stand there already.
func (p *publication) enter(ctx context.Context, l *logdir.Log, lacking []proofless) (indexes []uint64, known uint64, err error) {
	if before, err := l.Newest(ctx); err == nil {
		known = before.Size
	}
	fresh := map[string]bool{}
	for _, e := range p.plan.Releases {
		fresh[e.Path] = true
	}
	var old, missing [][]byte
	for _, e := range lacking {
		if !fresh[e.Path] {
			old = append(old, e.leaf)
		}
	}
	var there map[firmware.Digest]uint64
	if len(old) > 0 {
		if there, err = l.Find(ctx, old); err != nil {
			return nil, 0, err
		}
	}
	for _, e := range lacking {
		if _, ok := there[tlog.Hash(e.leaf)]; !ok {
			missing = append(missing, e.leaf)
		}
	}
	var added []uint64
	err = p.change(logName, func() error { added, err = l.Add(ctx, missing); return err })
	if err != nil {
		return nil, 0, err
	}
	for _, e := range lacking {
		index, ok := there[tlog.Hash(e.leaf)]
		if !ok {
			index, added = added[0], added[1:]
		}
		indexes = append(indexes, index)
	}
	return indexes, known, nil
}
