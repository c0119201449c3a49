package service

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// A backup is a tar file in one Zstandard frame. Its first entry is the manifest; the entries
// that it lists follow in its order. docs/formats.md has the details.

const (
	backupManifest = "fairlead-backup.json"
	backupSchema   = 1
	backupDatabase = "fairlead.db"
	maxManifest    = 4 << 20
	// Folders in a backup, and what is sealed in them.
	backupKeys   = "keys/"   // sealed already, as they lie on the disk
	backupCA     = "ca/"     // of the certificate authorities; private keys sealed
	backupOnline = "online/" // the repository's online keys; private keys sealed
)

type manifest struct {
	Schema     int          `json:"schema"`
	Created    time.Time    `json:"created"`
	Generation int64        `json:"generation"`
	Seal       string       `json:"seal"` // id of the key file that opens what is sealed
	Files      []backupFile `json:"files"`
}

type backupFile struct {
	Name   string          `json:"name"`
	Length int64           `json:"length"`
	SHA256 firmware.Digest `json:"sha256"`

	data []byte // of all but the database
}

// backup is one that is about to be written.
type backup struct {
	manifest manifest
	database string // a copy, removed in the end
}

// prepareBackup copies the database as it is at one moment, and then gathers the keys: one
// that was made meanwhile is too many, which does no harm.
func (s *Service) prepareBackup(ctx context.Context) (_ *backup, err error) {
	if s.Database != "" {
		return nil, &director.Error{Code: wire.CodeBadRequest, Message: "the database is on a PostgreSQL server: copy it with pg_dump --format=custom --file=COPY DATABASE, and the folder state of the repository beside it, which is secret"}
	}
	b := &backup{manifest: manifest{Schema: backupSchema, Created: s.Clock().UTC().Truncate(time.Second)},
		database: filepath.Join(s.dir, ".tmp-backup-"+rand.Text())}
	defer func() {
		if err != nil {
			b.remove()
			err = fmt.Errorf("making a backup: %w", err)
		}
	}()
	if k, ok := s.director.Seal.(*director.SealKey); ok {
		b.manifest.Seal = k.ID()
	}
	if err := s.store.View(ctx, func(tx *store.Tx) (err error) { b.manifest.Generation, err = tx.Generation(); return err }); err != nil {
		return nil, err
	}
	if err := s.store.BackupTo(ctx, b.database); err != nil {
		return nil, err
	}
	if err := b.addDatabase(); err != nil {
		return nil, err
	}
	return b, s.gather(ctx, b)
}

func (b *backup) remove() { _ = os.Remove(b.database) } // else it is swept at the next start

func (b *backup) addDatabase() error {
	f, err := os.Open(b.database)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	b.manifest.Files = append(b.manifest.Files, backupFile{Name: backupDatabase, Length: n, SHA256: firmware.Digest(h.Sum(nil))})
	return err
}

// gather adds the small files.
func (s *Service) gather(ctx context.Context, b *backup) error {
	for _, dir := range []struct{ from, to string }{
		{filepath.Join(s.dir, "keys"), backupKeys}, {filepath.Join(s.dir, "ca"), backupCA},
		{filepath.Join(s.Repo.Dir(), "state", "keys"), backupOnline},
	} {
		entries, err := os.ReadDir(dir.from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if err := s.add(ctx, b, filepath.Join(dir.from, e.Name()), dir.to+e.Name()); err != nil {
				return err
			}
		}
	}
	err := s.Repo.CopyLog(func(name string, data []byte) error { return s.put(ctx, b, name, data) })
	if errors.Is(err, tufrepo.ErrBusy) {
		return &director.Error{Code: wire.CodeBusy, Message: "somebody publishes, and the log belongs into the backup: try again when it is done"}
	}
	if err != nil {
		return err
	}
	return s.add(ctx, b, filepath.Join(s.dir, TokenFile), TokenFile)
}

func (s *Service) add(ctx context.Context, b *backup, from, name string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return s.put(ctx, b, name, data)
}

func (s *Service) put(ctx context.Context, b *backup, name string, data []byte) (err error) {
	if isSealedIn(name) {
		if data, err = s.director.Seal.Seal(ctx, "backup/"+name, data); err != nil {
			return err
		}
	}
	b.manifest.Files = append(b.manifest.Files, backupFile{Name: name, Length: int64(len(data)), SHA256: firmware.Sum(data), data: data})
	return nil
}

// isSealedIn says whether a file of a backup is sealed by the backup, and not before.
func isSealedIn(name string) bool {
	return name == TokenFile || path.Ext(name) == ".key" && !strings.HasPrefix(name, backupKeys)
}

// write writes the file.
func (b *backup) write(ctx context.Context, w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	text, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := b.entry(t, backupManifest, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	for _, f := range b.manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.file(t, f); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func (b *backup) file(t *tar.Writer, f backupFile) error {
	if f.Name != backupDatabase {
		return b.entry(t, f.Name, f.Length, bytes.NewReader(f.data))
	}
	db, err := os.Open(b.database)
	if err != nil {
		return err
	}
	defer db.Close()
	return b.entry(t, f.Name, f.Length, db)
}

func (b *backup) entry(t *tar.Writer, name string, length int64, r io.Reader) error {
	h := &tar.Header{Name: name, Size: length, Mode: 0o600, ModTime: b.manifest.Created, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}
