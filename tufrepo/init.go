package tufrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// InitOptions are the choices that a repository is made with.
type InitOptions struct {
	Options
	// Algorithm of the online keys; empty means Ed25519.
	Algorithm keyfile.Algorithm
	// TimestampLife and SnapshotLife are how long online metadata is good. A
	// device that is kept from new metadata notices after the shorter one at
	// the latest; a packed release can be installed that long. 0 means a day
	// and a week.
	TimestampLife, SnapshotLife time.Duration
}

// Init makes an empty repository with one online key for the timestamp and one
// for the snapshot. The public keys are for the root, which comes with the
// first publish. A repository that is there already is an error that wraps
// fs.ErrExist; one whose making was cut short is finished.
func Init(dir string, o InitOptions) (*Repo, error) {
	r := newRepo(dir, o.Options)
	r.config = config{1, duration(o.TimestampLife), duration(o.SnapshotLife)}
	if r.config.TimestampLife == 0 {
		r.config.TimestampLife = duration(24 * time.Hour)
	}
	if r.config.SnapshotLife == 0 {
		r.config.SnapshotLife = max(duration(7*24*time.Hour), r.config.TimestampLife)
	}
	if o.Algorithm == "" {
		o.Algorithm = keyfile.Ed25519
	}
	if err := errors.Join(r.config.check(), o.Algorithm.Check()); err != nil {
		return nil, fmt.Errorf("making repository %s: %w", dir, err)
	}
	if err := r.makeAll(o.Algorithm); err != nil {
		return nil, fmt.Errorf("making repository %s: %w", dir, err)
	}
	return r, nil
}

func (r *Repo) makeAll(alg keyfile.Algorithm) error {
	if err := r.disk.MkdirAll(r.dir, dirMode); err != nil {
		return err
	}
	if err := r.disk.MkdirAll(r.path("state"), stateMode); err != nil {
		return err
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(r.path(configName)); err == nil {
		return fmt.Errorf("it is one already: %w", fs.ErrExist)
	}
	for _, name := range []string{"metadata", "targets", "blobs"} {
		if err := r.disk.MkdirAll(r.path(name), dirMode); err != nil {
			return err
		}
	}
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT} {
		if _, err := r.newKey(role, alg); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	raw, err := json.MarshalIndent(r.config, "", "  ")
	if err != nil {
		return err
	}
	return r.write(configName, append(raw, '\n')) // last: with it the repository is one
}
