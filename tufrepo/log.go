package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
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
