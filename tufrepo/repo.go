package tufrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// Errors that a caller branches on.
var (
	// ErrBusy: another process is writing to the repository.
	ErrBusy = errors.New("another publisher is at work")
	// ErrConflict: the bundle was made for another state of the repository.
	ErrConflict = errors.New("the repository has moved on")
	// ErrRefused: the bundle is not good, or not signed by enough people; the
	// error holds bundle.Problems.
	ErrRefused = errors.New("bundle refused")
	// ErrUnpublished: nothing was published yet.
	ErrUnpublished = errors.New("nothing is published yet: publish a bundle with the first root and targets")
)

const (
	configName   = "state/repository.json"
	lockName     = "state/lock"
	keysDir      = "state/keys"
	dirMode      = 0o755
	fileMode     = 0o644
	stateMode    = 0o700
	maxConfig    = 4 << 10
	maxUnrefFile = 16 << 20
)

// Options are what a Repo works with. The zero value is good.
type Options struct {
	Clock func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil means none
	Disk  durable.Disk     // by which the folder is changed; it is read as it is
}

// Repo is a repository folder. Its methods may be called from several
// goroutines and processes: those that write take the lock of the folder or
// return ErrBusy.
type Repo struct {
	dir    string
	clock  func() time.Time
	log    *slog.Logger
	disk   durable.Disk
	config config

	refused *sync.Map // reference of an online key -> why its token refused the PIN

	// around is called before and after every change of a file, by name; an
	// error ends the work there. Tests put crashes in. It is nil otherwise.
	around func(moment, name string) error
}

// config is what lies in repository.json.
type config struct {
	Schema        int      `json:"schema"`
	TimestampLife duration `json:"timestamp_life"`
	SnapshotLife  duration `json:"snapshot_life"`
}

// duration is a time.Duration that is text in JSON, such as "24h0m0s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Open opens a folder that Init has made.
func Open(dir string, o Options) (*Repo, error) {
	r := newRepo(dir, o)
	raw, err := os.ReadFile(r.path(configName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a repository: make one with fairlead-repo init: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening repository: %w", err)
	}
	if r.config, err = parseConfig(raw); err != nil {
		return nil, fmt.Errorf("opening repository: %s: %w", r.path(configName), err)
	}
	return r, nil
}

func parseConfig(raw []byte) (c config, err error) {
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: maxConfig, Known: true}, &c); err != nil {
		return config{}, err
	}
	return c, c.check()
}

func (c config) check() error {
	if c.Schema != 1 {
		return fmt.Errorf("schema %d is not known here: use the fairlead-repo that made it, or a newer one", c.Schema)
	}
	if time.Duration(c.TimestampLife) < time.Minute || c.SnapshotLife < c.TimestampLife {
		return errors.New("a timestamp must live for a minute or more, and a snapshot no shorter than a timestamp")
	}
	return nil
}

func newRepo(dir string, o Options) *Repo {
	r := &Repo{dir: dir, clock: o.Clock, log: o.Log, disk: o.Disk, refused: &sync.Map{}}
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Dir is the repository's folder.
func (r *Repo) Dir() string { return r.dir }

// FS is the repository's folder as a file system, for readers. A name that
// leads out of it through a link is not followed.
func (r *Repo) FS() (fs.FS, error) {
	root, err := os.OpenRoot(r.dir) // closed with the last reference
	if err != nil {
		return nil, fmt.Errorf("opening repository: %w", err)
	}
	return root.FS(), nil
}

func (r *Repo) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// lock is held for every change.
func (r *Repo) lock() (unlock func(), err error) {
	l, err := r.disk.TryLock(r.path(lockName))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: %w; try again when it is done", ErrBusy, err)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the repository: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}

// begin locks the repository, clears away what a crash left half written, and
// reads the state.
func (r *Repo) begin() (base *bundle.Base, unlock func(), err error) {
	unlock, err = r.lock()
	if err != nil {
		return nil, nil, err
	}
	base, err = r.settle()
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return base, unlock, nil
}

func (r *Repo) settle() (*bundle.Base, error) {
	if err := r.sweep(); err != nil {
		return nil, err
	}
	fsys, err := r.FS()
	if err != nil {
		return nil, err
	}
	return bundle.LoadOwn(fsys)
}

// sweep removes the temporary files of writers that were cut short.
func (r *Repo) sweep() error {
	for _, flat := range []string{"metadata", "blobs"} { // thousands of files and no folder
		if err := r.disk.SweepTemps(r.path(flat)); err != nil {
			return fmt.Errorf("clearing leftovers: %w", err)
		}
	}
	for _, top := range []string{"targets", "state"} {
		err := filepath.WalkDir(r.path(top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return err
			}
			return r.disk.SweepTemps(path)
		})
		if err != nil {
			return fmt.Errorf("clearing leftovers: %w", err)
		}
	}
	return nil
}

// change runs one change of a file, for tests to cut it short.
func (r *Repo) change(name string, f func() error) error {
	if r.around == nil {
		return f()
	}
	if err := r.around("before", name); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return r.around("after", name)
}

// write makes or replaces a file, durably.
func (r *Repo) write(name string, data []byte) error {
	err := r.change(name, func() error {
		path := r.path(name)
		if err := r.disk.MkdirAll(filepath.Dir(path), dirMode); err != nil {
			return err
		}
		return r.disk.WriteFile(path, data, fileMode)
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func (r *Repo) remove(name string) error {
	// The sync is not needed for safety: nothing names a file that comes back, and the next collection takes it.
	err := r.change(name, func() error { return r.disk.Remove(r.path(name)) })
	if err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}
