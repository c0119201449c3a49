package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a row with this name is there already, or somebody else came first.
	ErrConflict = errors.New("the database has it already, or has another in its place")
	// ErrFull: the disk, or the bound of Options.MaxBytes, leaves no room.
	ErrFull = errors.New("the database is full")
	// ErrUnavailable: the database cannot be reached or written now. Nothing was stored.
	ErrUnavailable = errors.New("the database is not available")
	// ErrUnknown: the connection was lost at the commit, so whether the update was stored is
	// not known. Look, or do it again: see the package's page.
	ErrUnknown = errors.New("it is not known whether the database has stored it")
	// ErrClosed: the store is closing.
	ErrClosed = errors.New("the database is closed")
)

// Options say how a store behaves.
type Options struct {
	// MaxBytes bounds an SQLite file, so that a chatty fleet cannot fill the disk
	// that the repository needs; zero means no bound. It is rounded up to whole pages.
	// A PostgreSQL server is not bounded.
	MaxBytes int64
	// Conns is how many connections to a PostgreSQL server write; half as many read. Zero
	// means 16. SQLite takes no notice.
	Conns int
	// Node names this director among those that share a database, and stays the same over
	// restarts. Empty where there is one.
	Node string
}

// Store is an open database. Its methods may be called from any goroutine.
type Store struct {
	engine
	closing chan struct{}
	once    sync.Once
}

// engine is one of the two databases.
type engine interface {
	// update and view keep the promises of Store.Update and Store.View.
	update(ctx context.Context, fn func(*Tx) error) error
	view(ctx context.Context, fn func(*Tx) error) error
	// backup makes a copy at path, which must not be there.
	backup(ctx context.Context, path string) error
	// close waits for what is under way. It is called once, after closing was closed.
	close() error
}

// Open opens the database at where and brings it up to date. A URL that begins with
// postgres:// or postgresql:// is a PostgreSQL server, which must have the database that it
// names; everything else is the path of an SQLite file, which is made if it is missing.
func Open(ctx context.Context, where string, o Options) (*Store, error) {
	s := &Store{closing: make(chan struct{})}
	var err error
	if isURL(where) {
		s.engine, err = openPostgres(ctx, where, o, s.closing)
	} else {
		s.engine, err = openSQLite(ctx, where, o, s.closing)
	}
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", printable(where), err)
	}
	return s, nil
}

func isURL(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// printable is where without its password.
func printable(where string) string {
	if !isURL(where) {
		return where
	}
	u, err := url.Parse(where)
	if err != nil {
		return "postgres://…"
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// Close waits for the updates that were taken and for views, then closes the database.
// What comes later fails with ErrClosed.
func (s *Store) Close() (err error) {
	s.once.Do(func() {
		close(s.closing)
		err = s.close()
	})
	return err
}

// View runs fn on one consistent state of the database. fn may only read.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	return s.open(func() error { return s.view(ctx, fn) })
}

// Update runs fn in a transaction and returns after the commit is on disk. If it returns an
// error other than ErrUnknown, nothing of fn has remained.
//
// fn may run in another goroutine, and more than once: with PostgreSQL again from its
// beginning when another update came between. It must touch the database through tx only,
// and what it leaves behind elsewhere must not depend on how often it ran. A statement that
// has failed ends the transaction, also if fn returns nil; ErrNotFound, and ErrConflict of a
// method that says so, do not. A ctx that ends before fn has begun prevents it; afterwards it
// has no effect.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return s.open(func() error { return s.update(ctx, fn) })
}

// open runs f unless the store is closing.
func (s *Store) open(f func() error) error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
		return f()
	}
}
