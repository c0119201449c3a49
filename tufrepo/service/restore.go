package service

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// RestoreOptions say what is restored where.
type RestoreOptions struct {
	Repo    string    // repository folder, which must be there
	KeyFile string    // empty for the usual place
	From    io.Reader // the backup
	Replace bool      // what the folder has is put aside
	Clock   func() time.Time
}

// Restored says what was done.
type Restored struct {
	Created    time.Time // of the backup
	Generation int64     // of its database
	Aside      string    // folder with what was there before; empty if nothing was
}

// maxLogFile bounds one file of the log: 256 entries of 64 KiB, and their lengths.
const maxLogFile = 17 << 20

// maxBackupFile bounds one file of a backup, in bytes.
const maxBackupFile = 1 << 40

// Restore puts a backup in the place of a service's state. It refuses a service that runs, and
// one that is there unless o.Replace says so. Everything is unpacked, verified and opened
// beside the old state before it takes its place in one step.
//
// The database is an older copy from then on, wherever it runs: the director directs nobody
// until somebody accepts it.
func Restore(ctx context.Context, o RestoreOptions) (out Restored, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restoring: %w", err)
		}
	}()
	key := o.KeyFile
	if key == "" {
		key = DefaultKeyFile(o.Repo)
	}
	seal, err := director.LoadSealKey(key)
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("%w: a backup opens only with the key file of the service that made it: bring it here, or name it with --key-file", err)
	}
	if err != nil {
		return out, err
	}
	r := restore{RestoreOptions: o, ctx: ctx, seal: seal, dir: StateDir(o.Repo), stage: StateDir(o.Repo) + ".restoring"}
	unlock, err := r.begin()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	defer func() {
		if !r.swapped { // after that it is the old state
			os.RemoveAll(r.stage) // else the next one does it
		}
	}()
	if err := r.unpack(); err != nil {
		return out, err
	}
	return r.finish()
}

// restore is a backup on its way into a folder.
type restore struct {
	RestoreOptions
	ctx        context.Context
	seal       director.Sealer
	dir, stage string
	manifest   manifest
	online     map[string][]byte // the repository's online keys
	log        map[string][]byte // the files of its log, by their names in the repository
	there      bool              // there was a state
	swapped    bool
}

// begin makes sure that no service runs, and makes the folder to unpack in.
func (r *restore) begin() (unlock func() error, err error) {
	if _, err := os.Stat(filepath.Join(r.Repo, "state")); err != nil {
		return nil, fmt.Errorf("%s is not a repository: copy it here first, or make one with fairlead-repo init: %w", r.Repo, err)
	}
	unlock = func() error { return nil }
	if _, err := os.Stat(r.dir); err == nil {
		r.there = true
		lock, err := durable.TryLock(filepath.Join(r.dir, "lock"))
		if err != nil {
			return nil, fmt.Errorf("stop the service first: %w", err)
		}
		unlock = lock.Unlock
	}
	if _, err := os.Stat(filepath.Join(r.dir, backupDatabase)); err == nil && !r.Replace {
		return nil, errors.Join(fmt.Errorf("%s has a service's database: --replace puts it aside", r.dir), unlock())
	}
	if err := os.RemoveAll(r.stage); err != nil {
		return nil, errors.Join(err, unlock())
	}
	for _, dir := range []string{"", "keys", "ca"} {
		if err := durable.MkdirAll(filepath.Join(r.stage, dir), 0o700); err != nil {
			return nil, errors.Join(err, unlock())
		}
	}
	return unlock, nil
}

// unpack reads the file once.
func (r *restore) unpack() error {
	z, err := zstd.NewReader(r.From, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	t := tar.NewReader(z)
	if err := r.readManifest(t); err != nil {
		return fmt.Errorf("this is no backup of a service, or it is damaged: %w", err)
	}
	r.online, r.log = map[string][]byte{}, map[string][]byte{}
	for _, f := range r.manifest.Files {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("the backup is cut off or damaged before %s: %w", f.Name, err)
		}
		if h.Name != f.Name || h.Size != f.Length || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("the backup has %.80q where its manifest says %q", h.Name, f.Name)
		}
		if err := r.file(f, t); err != nil {
			return fmt.Errorf("%s in the backup: %w", f.Name, err)
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the backup has more than its manifest says: %w", err)
	}
	return nil
}

func (r *restore) readManifest(t *tar.Reader) error {
	h, err := t.Next()
	if err != nil {
		return err
	}
	if h.Name != backupManifest || h.Size > maxManifest {
		return fmt.Errorf("it begins with %.80q", h.Name)
	}
	text, err := io.ReadAll(io.LimitReader(t, maxManifest))
	if err != nil {
		return err
	}
	if err := strictjson.Decode(text, strictjson.Options{MaxBytes: maxManifest, Known: true}, &r.manifest); err != nil {
		return err
	}
	if r.manifest.Schema != backupSchema {
		return fmt.Errorf("it has schema %d, this program knows %d: use a newer fairlead-repo", r.manifest.Schema, backupSchema)
	}
	seen := map[string]bool{}
	for _, f := range r.manifest.Files {
		if !mayBeIn(f.Name) || seen[f.Name] || f.Length < 0 || f.Length > maxBackupFile {
			return fmt.Errorf("it lists %.80q", f.Name)
		}
		seen[f.Name] = true
	}
	if !seen[backupDatabase] || !seen[backupCA+"device-ca.key"] {
		return errors.New("it lists no database or no certificate authority")
	}
	return nil
}

// mayBeIn takes the names that a backup has, and no path that leads elsewhere.
func mayBeIn(name string) bool {
	for _, dir := range []string{backupKeys, backupCA, backupOnline} {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			return rest != "" && !strings.HasPrefix(rest, ".") && filepath.Base(rest) == rest
		}
	}
	return name == backupDatabase || name == TokenFile || tufrepo.IsLogFile(name)
}

// file takes one file, opened if the backup has sealed it.
func (r *restore) file(f backupFile, in io.Reader) error {
	if f.Name == backupDatabase {
		return r.database(f, in)
	}
	if f.Length > director.MaxSecret*4 && !(tufrepo.IsLogFile(f.Name) && f.Length <= maxLogFile) {
		return fmt.Errorf("it has %d bytes, too many for a key", f.Length)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if firmware.Sum(data) != f.SHA256 {
		return errors.New("it is damaged: its SHA-256 is not that of the manifest")
	}
	switch {
	case isSealedIn(f.Name):
		data, err = r.seal.Open(r.ctx, "backup/"+f.Name, data)
	case strings.HasPrefix(f.Name, backupKeys) && filepath.Ext(f.Name) != ".pub":
		_, err = r.seal.Open(r.ctx, filepath.Base(f.Name), data) // it stays sealed
	}
	if err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(f.Name, backupOnline); ok {
		r.online[name] = data
		return nil
	}
	if tufrepo.IsLogFile(f.Name) {
		r.log[f.Name] = data
		return nil
	}
	return durable.WriteFile(filepath.Join(r.stage, filepath.FromSlash(f.Name)), data, modeOf(f.Name))
}

func modeOf(name string) fs.FileMode {
	switch filepath.Ext(name) {
	case ".crt", ".pub":
		return 0o644
	}
	return 0o600
}

func (r *restore) database(f backupFile, in io.Reader) error {
	out, err := durable.Create(filepath.Join(r.stage, backupDatabase), 0o600)
	if err != nil {
		return err
	}
	defer out.Abort()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return err
	}
	if firmware.Digest(h.Sum(nil)) != f.SHA256 {
		return errors.New("it is damaged: its SHA-256 is not that of the manifest")
	}
	return out.Commit()
}

// finish opens the database, then lets everything take its place. A crash before the last
// step leaves the old state, and at worst a generation that has to be accepted.
func (r *restore) finish() (out Restored, err error) {
	db, err := store.Open(r.ctx, filepath.Join(r.stage, backupDatabase), store.Options{})
	if err != nil {
		return out, err
	}
	err = db.View(r.ctx, func(tx *store.Tx) (err error) { out.Generation, err = tx.Generation(); return err })
	if err = errors.Join(err, db.Close()); err != nil {
		return out, err
	}
	if err := r.putOnline(); err != nil {
		return out, err
	}
	if err := r.putLog(); err != nil {
		return out, err
	}
	seen, err := director.ReadSeen(GenerationFile(r.Repo))
	if err != nil {
		return out, err
	}
	if err := director.WriteSeen(GenerationFile(r.Repo), max(seen, out.Generation+1)); err != nil {
		return out, err
	}
	out.Created = r.manifest.Created
	out.Aside, err = r.swap()
	return out, err
}

// putOnline brings the repository's online keys where they are missing. Those that are there
// may be newer.
func (r *restore) putOnline() error {
	dir := filepath.Join(r.Repo, "state", "keys")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, data := range r.online {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := durable.WriteFile(path, data, modeOf(name)); err != nil {
			return err
		}
	}
	return nil
}

// swap exchanges the folders in one step, then gives the old one a name that says what it is.
func (r *restore) swap() (aside string, err error) {
	if !r.there {
		return "", durable.Rename(r.stage, r.dir)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, r.stage, unix.AT_FDCWD, r.dir, unix.RENAME_EXCHANGE); err != nil {
		return "", fmt.Errorf("exchanging %s and %s: %w", r.stage, r.dir, err)
	}
	r.swapped = true
	if err := durable.SyncDir(filepath.Dir(r.dir)); err != nil {
		return "", err
	}
	aside = r.aside()
	return aside, durable.Rename(r.stage, aside)
}

// aside is a free name for what was replaced.
func (r *restore) aside() string {
	name := r.dir + ".replaced-" + r.Clock().UTC().Format("20060102T150405Z")
	free := name
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); err != nil {
			return free
		}
		free = fmt.Sprintf("%s.%d", name, n)
	}
}
