package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"testing"

	"github.com/jackc/pgx/v5"
)

// SetVersion makes a database look as if another program version had written it.
func SetVersion(t *testing.T, where string, version int) {
	t.Helper()
	raw(t, where, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "INSERT INTO schema_version (version) VALUES ($1)", version)
		return err
	}, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
}

// Migrate brings a database up to date with other migrations than ours.
func Migrate(ctx context.Context, t *testing.T, where string, files fs.FS) (err error) {
	t.Helper()
	raw(t, where, func(_ context.Context, c *pgx.Conn) error {
		err = migrate(ctx, postgresSchema{c}, files)
		return nil
	}, func(_ context.Context, db *sql.DB) error {
		var c *conn
		if c, err = newConn(ctx, db); err == nil {
			err = migrate(ctx, sqliteSchema{c}, files)
			_ = c.close()
		}
		return nil
	})
	return err
}

// Exec runs SQL in the dialect of the migrations.
func Exec(t *testing.T, where, text string) {
	t.Helper()
	raw(t, where, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, forPostgres(text)).ReadAll()
		return err
	}, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, forSQLite(text))
		return err
	})
}

// Migrations are ours.
func Migrations() fs.FS { return migrations }

// raw runs one of two functions on a database of its kind.
func raw(t *testing.T, where string, postgres func(context.Context, *pgx.Conn) error, sqlite func(context.Context, *sql.DB) error) {
	t.Helper()
	ctx := context.Background()
	if isURL(where) {
		c, err := pgx.Connect(ctx, where)
		if err == nil {
			err = postgres(ctx, c)
			c.Close(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", dsn(where, Options{}, false))
	if err == nil {
		err = sqlite(ctx, db)
		db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Placeholders is the translation of ? for PostgreSQL.
func Placeholders(query string) string { return placeholders(query) }

// Tables are the names of all tables.
func Tables(t *testing.T, where string) (names []string) {
	t.Helper()
	raw(t, where, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'")
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	}, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names
}

// Count is the number of rows of a table.
func Count(t *testing.T, where, table string) (n int) {
	t.Helper()
	query := "SELECT count(*) FROM " + table
	raw(t, where, func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, query).Scan(&n) },
		func(ctx context.Context, db *sql.DB) error { return db.QueryRowContext(ctx, query).Scan(&n) })
	return n
}
