package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
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
	readDB, writeDB *sql.DB
	readers         chan *conn // those that are free
	writer          *conn      // used by the writer goroutine alone

	ops     chan *op
	closing chan struct{}
	once    sync.Once
	done    chan struct{}
}

// readConns is how many can read at once.
const readConns = 4

// Open opens or makes the database at path and brings it up to date.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s := &Store{readers: make(chan *conn, readConns), ops: make(chan *op, queue), closing: make(chan struct{}), done: make(chan struct{})}
	if err := s.open(ctx, path, o); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w", path, err), s.release())
	}
	go s.write()
	return s, nil
}

func (s *Store) open(ctx context.Context, path string, o Options) (err error) {
	if path, err = filepath.Abs(path); err != nil { // the first part of a relative path would be a URI's host
		return err
	}
	if err := ownFile(path); err != nil {
		return err
	}
	if s.writeDB, err = sql.Open("sqlite", dsn(path, o, false)); err != nil {
		return err
	}
	if err := migrate(ctx, s.writeDB); err != nil {
		return err
	}
	if s.writer, err = newConn(ctx, s.writeDB); err != nil {
		return err
	}
	if s.readDB, err = sql.Open("sqlite", dsn(path, o, true)); err != nil {
		return err
	}
	for range readConns {
		c, err := newConn(ctx, s.readDB)
		if err != nil {
			return err
		}
		s.readers <- c
	}
	return nil
}

// release closes what open has opened.
func (s *Store) release() error {
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	for range len(s.readers) {
		errs = append(errs, (<-s.readers).close())
	}
	for _, db := range []*sql.DB{s.readDB, s.writeDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
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

// Close waits for the updates that were taken and for views, then closes the file. What
// comes later fails with ErrClosed.
func (s *Store) Close() error {
	var errs []error
	s.once.Do(func() {
		close(s.closing)
		<-s.done
		for range readConns {
			errs = append(errs, (<-s.readers).close())
		}
		errs = append(errs, s.release())
	})
	return errors.Join(errs...)
}

// View runs fn on one consistent state of the database.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	select {
	case c := <-s.readers:
		defer func() { s.readers <- c }()
		return c.in(ctx, fn)
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the database: %w", ctx.Err())
	}
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
