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
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

const (
	logName       = "log"
	logKeyName    = "state/log/log.key"
	logPolicyName = "state/log/policy.txt"
)

// ErrNoLog says that the repository keeps no log.
var ErrNoLog = errors.New("the repository keeps no log: make one with fairlead-repo log init")

// LogInfo describes the repository's own log.
type LogInfo struct {
	Origin string `json:"origin"`
	Key    string `json:"key"` // vkey, for policies
	Size   uint64 `json:"size"`
	// Policy is a file with the policy that believes this log alone, to begin
	// with; "" where it was removed.
	Policy string `json:"policy,omitempty"`
}

// InitLog makes the key of a log for this repository. The log itself begins
// with its first entry, and after a policy that names it with all releases that
// there are. A log that is there already is an error that wraps fs.ErrExist.
func (r *Repo) InitLog(origin string) (LogInfo, error) {
	unlock, err := r.lock()
	if err != nil {
		return LogInfo{}, err
	}
	defer unlock()
	if _, err := os.Lstat(r.path(logKeyName)); err == nil {
		return LogInfo{}, fmt.Errorf("making a log: the repository has one already: %w", fs.ErrExist)
	}
	if _, err := os.Lstat(r.path(logName)); err == nil {
		return LogInfo{}, fmt.Errorf("making a log: the folder %s has another log: move it away first: %w", r.path(logName), fs.ErrExist)
	}
	skey, err := logkey.New(origin)
	if err != nil {
		return LogInfo{}, err
	}
	vkey, err := logkey.Public(skey)
	if err != nil {
		return LogInfo{}, err
	}
	if err := r.disk.MkdirAll(r.path("state/log"), stateMode); err != nil {
		return LogInfo{}, fmt.Errorf("making a log: %w", err)
	}
	policy := "# releases must stand in this log; no witness is asked\nlog " + vkey + "\nquorum none\n"
	if err := r.write(logPolicyName, []byte(policy)); err != nil {
		return LogInfo{}, err
	}
	err = r.change(logKeyName, func() error { return logkey.Write(r.disk, r.path(logKeyName), skey) })
	if err != nil {
		return LogInfo{}, fmt.Errorf("writing the log's key: %w", err)
	}
	return LogInfo{Origin: origin, Key: vkey, Policy: r.path(logPolicyName)}, nil
}

// Log describes the log; ErrNoLog if there is none.
func (r *Repo) Log(ctx context.Context) (LogInfo, error) {
	l, vkey, err := r.openLog()
	if err != nil {
		return LogInfo{}, err
	}
	info := LogInfo{Origin: l.Origin(), Key: vkey}
	if _, err := os.Stat(r.path(logPolicyName)); err == nil {
		info.Policy = r.path(logPolicyName)
	}
	newest, err := l.Newest(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	info.Size = newest.Size
	return info, nil
}

func (r *Repo) openLog() (*logdir.Log, string, error) {
	skey, err := logkey.Read(r.path(logKeyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ErrNoLog
	}
	if err != nil {
		return nil, "", err
	}
	vkey, err := logkey.Public(skey)
	if err != nil {
		return nil, "", err
	}
	l, err := logdir.Open(r.path(logName), skey)
	return l, vkey, err
}

// LogBundle puts the releases of a bundle into the log, whether it is signed or
// not, and returns their numbers by target. Publish finds them there: so signers
// can see a release in the log before they sign.
func (r *Repo) LogBundle(ctx context.Context, bundleDir string) (map[string]uint64, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for _, target := range b.Manifests() {
		leaf, err := tlog.LeafOfManifest(b.Manifest(target))
		if err == nil && leaf.Path != target {
			err = fmt.Errorf("it is that of %s", leaf.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: manifest %s: %w", ErrRefused, target, err)
		}
		entry, err := leaf.Encode()
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	l, _, err := r.openLog()
	if err != nil {
		return nil, err
	}
	indexes, err := l.Add(ctx, entries)
	if err != nil {
		return nil, err
	}
	found := map[string]uint64{}
	for i, target := range b.Manifests() {
		found[target] = indexes[i]
	}
	return found, nil
}

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
	newest.Bytes, err = witness.Collector{Consistency: l.Consistency, Known: known}.Collect(ctx, policy, newest.Bytes)
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
