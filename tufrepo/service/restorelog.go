package service

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/firmware/durable"
)

const (
	logFolder = "log"
	logKey    = "state/log/log.key"
)

// putLog brings the repository's log where it is missing. What is there may be newer, and two copies that grow apart are two
// faces. The folder comes in one step and before the key, without which nobody adds to it.
func (r *restore) putLog() error {
	key, have := r.log[logKey]
	if !have {
		return nil
	}
	there, err := os.ReadFile(filepath.Join(r.Repo, logKey))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !bytes.Equal(there, key) {
		return nil // another log
	}
	if err := r.putLogFolder(); err != nil {
		return fmt.Errorf("the log: %w", err)
	}
	for name, data := range r.log {
		if strings.HasPrefix(name, "state/") && name != logKey {
			if err := r.putMissing(name, data); err != nil {
				return err
			}
		}
	}
	return r.putMissing(logKey, key)
}

func (r *restore) putLogFolder() error {
	to, stage := filepath.Join(r.Repo, logFolder), filepath.Join(r.Repo, logFolder+".restoring")
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	any := false
	for name, data := range r.log {
		rest, in := strings.CutPrefix(name, logFolder+"/")
		if !in {
			continue
		}
		any = true
		path := filepath.Join(stage, filepath.FromSlash(rest))
		if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := durable.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	if !any {
		return nil // it had no entry yet
	}
	return durable.Rename(stage, to)
}

// putMissing writes a file of the repository that is not there.
func (r *restore) putMissing(name string, data []byte) error {
	path := filepath.Join(r.Repo, filepath.FromSlash(name))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, data, modeOf(name))
}
