package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrFull: the disk, or the bound of Options.MaxBytes, leaves no room.
	ErrFull = errors.New("the database is full")
	// ErrClosed: the store is closing.
	ErrClosed = errors.New("the database is closed")
)

// Options say how a store behaves.
type Options struct {
	// MaxBytes bounds the database file, so that a chatty fleet cannot fill the disk
	// that the repository needs; zero means no bound. It is rounded up to whole pages.
	MaxBytes int64
}

// Store is an open database. Its methods may be called from any goroutine.
type Store struct {
	readers *sql.DB
	writers *sql.DB // one connection, used by the writer goroutine alone

	ops     chan *op
	closing chan struct{}
	once    sync.Once
	done    chan struct{}
}

// Open opens or makes the database at path and brings it up to date.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if err := ownFile(path); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	s := &Store{ops: make(chan *op, queue), closing: make(chan struct{}), done: make(chan struct{})}
	var err error
	if s.writers, err = sql.Open("sqlite", dsn(path, o, false)); err != nil {
		return nil, fmt.Errorf("opening database %s: %w", path, err)
	}
	s.writers.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writers); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w", path, err), s.writers.Close())
	}
	if s.readers, err = sql.Open("sqlite", dsn(path, o, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w", path, err), s.writers.Close())
	}
	s.readers.SetMaxOpenConns(4)
	s.readers.SetMaxIdleConns(4)
	go s.write()
	return s, nil
}

// ownFile makes the file with narrow permissions before SQLite would with wide ones.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(path string, o Options, readonly bool) string {
	q := url.Values{}
	for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)", "trusted_schema(0)"} {
		q.Add("_pragma", p)
	}
	if readonly {
		q.Add("_pragma", "query_only(1)")
	} else if o.MaxBytes > 0 {
		q.Add("_pragma", "max_page_count("+strconv.FormatInt((o.MaxBytes+pageSize-1)/pageSize, 10)+")")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// pageSize is SQLite's default.
const pageSize = 4096

// Close waits for the updates that were taken, then closes the file. Updates that come
// later fail with ErrClosed.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.closing) })
	<-s.done
	return errors.Join(s.readers.Close(), s.writers.Close())
}

// View runs fn on one consistent state of the database.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("reading the database: %w", classify(err))
	}
	defer tx.Rollback() //nolint:errcheck // a read has nothing to lose
	return classify(fn(&Tx{ctx: ctx, q: tx}))
}

// classify puts our sentinels on SQLite's errors.
func classify(err error) error {
	var se *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Tx is what one View or Update sees. It is valid inside the function only.
type Tx struct {
	ctx context.Context
	q   querier
}

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	res, err := t.q.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, classify(err)
	}
	return res.RowsAffected()
}

// one runs a statement that must change one row.
func (t *Tx) one(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

func (t *Tx) row(query string, args ...any) *sql.Row {
	return t.q.QueryRowContext(t.ctx, query, args...)
}

type scanner interface{ Scan(dest ...any) error }

// list collects the rows of a query.
func list[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := t.q.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, classify(err)
		}
		out = append(out, v)
	}
	return out, classify(rows.Err())
}
