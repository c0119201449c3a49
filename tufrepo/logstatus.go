package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
)

// LogStatus is the state of the repository's log.
type LogStatus struct {
	Origin    string          `json:"origin"`
	Size      uint64          `json:"size"`
	Made      time.Time       `json:"made"` // the newest checkpoint; zero before the first
	Witnesses []WitnessStatus `json:"witnesses"`
	Quorum    string          `json:"quorum,omitempty"`  // as the policy in force has it; empty where none asks for proofs
	Trouble   string          `json:"trouble,omitempty"` // why the newest checkpoint proves no release: after log add that is so until publish
}

// WitnessStatus is a witness of the policy in force.
type WitnessStatus struct {
	Name string `json:"name"`
	Seen bool   `json:"seen"` // it has cosigned the newest checkpoint
}

// logStatus is nil without a log.
func (r *Repo) logStatus(b *bundle.Base) (*LogStatus, error) {
	l, _, err := r.openLog()
	if errors.Is(err, ErrNoLog) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &LogStatus{Origin: l.Origin(), Witnesses: []WitnessStatus{}}
	policy, _ := b.Policy()
	if policy != nil && policy.Required() {
		s.Quorum = policy.Quorum()
		for _, w := range policy.Witnesses {
			s.Witnesses = append(s.Witnesses, WitnessStatus{Name: w.Name})
		}
	}
	newest, err := l.Newest(context.Background())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(r.path(logName), "checkpoint"))
	if err != nil {
		return nil, err
	}
	s.Size, s.Made = newest.Size, info.ModTime().UTC().Truncate(time.Second)
	if s.Quorum != "" {
		s.judge(policy, newest.Bytes)
	}
	return s, nil
}

// judge looks at the checkpoint as a device would.
func (s *LogStatus) judge(policy *tlog.Policy, raw []byte) {
	c, err := policy.Checkpoint(raw)
	if err != nil {
		s.Trouble = err.Error()
	}
	for i, w := range s.Witnesses {
		s.Witnesses[i].Seen = slices.Contains(c.Cosigned, w.Name)
	}
}

// logState are the files in the log's folder that are Tessera's own and belong to it.
func logState(name string) bool { return name == ".state/treeState" || name == ".state/version" }

// CopyLog hands out every file of the log as it is between two publishes: of its folder, and its key and policy. Names are
// relative to the repository. Without a log there are none. It fails with ErrBusy while somebody publishes.
func (r *Repo) CopyLog(visit func(name string, data []byte) error) error {
	if _, err := os.Lstat(r.path(logKeyName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	names := []string{logKeyName, logPolicyName}
	err = fs.WalkDir(os.DirFS(r.path(logName)), ".", func(name string, e fs.DirEntry, err error) error {
		if _, ok := logread.Name(name); err == nil && e.Type().IsRegular() && (ok || logState(name)) {
			names = append(names, logName+"/"+name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(r.path(name))
		if errors.Is(err, fs.ErrNotExist) && name == logPolicyName {
			continue
		}
		if err == nil {
			err = visit(name, data)
		}
		if err != nil {
			return fmt.Errorf("copying the log: %w", err)
		}
	}
	return nil
}

// IsLogFile tells whether CopyLog hands out files of that name.
func IsLogFile(name string) bool {
	if name == logKeyName || name == logPolicyName {
		return true
	}
	rest, err := filepath.Rel(logName, filepath.FromSlash(name))
	rest = filepath.ToSlash(rest)
	_, ok := logread.Name(rest)
	return err == nil && name == logName+"/"+rest && (ok || logState(rest))
}
