package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware/durable"
)

// BackupTo copies an SQLite database as it is at one moment to a new file at path, while
// updates go on. The file is there when it is whole and on disk, and not before. A
// PostgreSQL server has pg_dump for this.
func (s *Store) BackupTo(ctx context.Context, path string) error {
	return s.open(func() error { return s.backup(ctx, path) })
}

func (p *postgres) backup(context.Context, string) error {
	return errors.New("copying the database: it is on a PostgreSQL server: use pg_dump")
}

func (s *sqlite) backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("copying the database: %s is there already", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part") // mode 0600
	if err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	defer os.Remove(temp.Name()) // nothing to do after the rename
	err = errors.Join(s.vacuumInto(ctx, temp.Name()), temp.Sync(), temp.Close())
	if err == nil {
		err = durable.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("copying the database: %w", classify(err))
	}
	return nil
}

// vacuumInto needs a connection that may write, though it only reads the database itself.
func (s *sqlite) vacuumInto(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(s.path, Options{}, false))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	return err
}
