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

	_ "modernc.org/sqlite" // the driver
)

// sqlite is a file.
type sqlite struct {
	path            string
	node            string
	readDB, writeDB *sql.DB
	readers         chan *conn // those that are free
	writer          *conn      // used by the writer goroutine alone

	ops     chan *op
	closing <-chan struct{}
	done    chan struct{}
}

// readConns is how many can read at once.
const readConns = 4

func openSQLite(ctx context.Context, path string, o Options, closing <-chan struct{}) (*sqlite, error) {
	s := &sqlite{node: o.Node, readers: make(chan *conn, readConns), ops: make(chan *op, queue), closing: closing, done: make(chan struct{})}
	if err := s.open(ctx, path, o); err != nil {
		return nil, errors.Join(classify(err), s.release())
	}
	go s.write()
	return s, nil
}

func (s *sqlite) open(ctx context.Context, path string, o Options) (err error) {
	if s.path, err = filepath.Abs(path); err != nil { // the first part of a relative path would be a URI's host
		return err
	}
	if err := ownFile(s.path); err != nil {
		return err
	}
	if s.writeDB, err = sql.Open("sqlite", dsn(s.path, o, false)); err != nil {
		return err
	}
	if s.writer, err = newConn(ctx, s.writeDB); err != nil {
		return err
	}
	if err := migrate(ctx, sqliteSchema{s.writer}, migrations); err != nil {
		return err
	}
	if s.readDB, err = sql.Open("sqlite", dsn(s.path, o, true)); err != nil {
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
func (s *sqlite) release() error {
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
		return fileURL(path, q)
	}
	q.Add("_pragma", "cache_size(-32768)") // KiB: a turn of a large rollout fits
	if o.MaxBytes > 0 {
		q.Add("_pragma", "max_page_count("+strconv.FormatInt((o.MaxBytes+pageSize-1)/pageSize, 10)+")")
	}
	return fileURL(path, q)
}

func fileURL(path string, q url.Values) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// pageSize is SQLite's default.
const pageSize = 4096

func (s *sqlite) close() error {
	<-s.done
	var errs []error
	for range readConns {
		errs = append(errs, (<-s.readers).close())
	}
	return errors.Join(append(errs, s.release())...)
}

func (s *sqlite) view(ctx context.Context, fn func(*Tx) error) error {
	select {
	case c := <-s.readers:
		defer func() { s.readers <- c }()
		return s.read(ctx, c, fn)
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the database: %w", ctx.Err())
	}
}

// read runs fn between BEGIN and ROLLBACK.
func (s *sqlite) read(ctx context.Context, c *conn, fn func(*Tx) error) error {
	if err := c.do("BEGIN"); err != nil {
		return fmt.Errorf("reading the database: %w", err)
	}
	defer c.do("ROLLBACK") //nolint:errcheck // a read has nothing to lose
	return fn(&Tx{ctx: ctx, s: c, node: s.node})
}
