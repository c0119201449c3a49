// Package storetest runs a PostgreSQL server for tests: a real one, made on the spot in a
// folder of its own, that listens on a Unix socket there and nowhere else.
//
// A test binary keeps one [Server] and gives each test a database of its own:
//
//	var server storetest.Server
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		server.Stop()
//		os.Exit(code)
//	}
//
//	func TestX(t *testing.T) { s, err := store.Open(ctx, server.Database(t), store.Options{}) … }
//
// The programs come from $PATH or Debian's package postgresql. Where they are missing tests
// fail, unless the environment has FAIRLEAD_NO_POSTGRES: then they are skipped.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// SkipVariable is the environment variable that lets tests go without PostgreSQL.
const SkipVariable = "FAIRLEAD_NO_POSTGRES"

// Server is a PostgreSQL server that starts when it is first asked for a database. The zero
// value is ready.
type Server struct {
	Fsync bool // for figures: as slow as a server that keeps its promises

	mu     sync.Mutex
	failed error // of the first start
	dir    string
	owner  *syscall.Credential // who the server runs as; nil for ourselves
	bin    string              // folder of the programs
	*process
	databases int
}

// Database makes an empty database and returns its URL. It is removed with the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return s.database(t, "template1")
}

// Copy makes a database that is a copy of another, to which nobody may be connected.
func (s *Server) Copy(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return s.database(t, strings.TrimPrefix(u.Path, "/"))
}

// OnDisk makes an empty database whose files lie in a folder, into which everybody may write.
// It is removed with the test.
func (s *Server) OnDisk(t testing.TB, dir string) string {
	t.Helper()
	where := s.database(t, "template1")
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	if s.owner != nil {
		if err := os.Chown(files, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.Execute(t, "CREATE TABLESPACE "+name+" LOCATION '"+files+"'")
	s.Execute(t, "ALTER DATABASE "+name+" SET TABLESPACE "+name)
	t.Cleanup(func() {
		s.Execute(t, "DROP DATABASE "+name+" WITH (FORCE)")
		s.Execute(t, "DROP TABLESPACE "+name)
	})
	return where
}

func (s *Server) database(t testing.TB, template string) string {
	t.Helper()
	if os.Getenv(SkipVariable) != "" {
		t.Skip(SkipVariable + " is set: not tested with PostgreSQL")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil && s.process == nil {
		s.failed = s.start()
	}
	if s.failed != nil {
		t.Fatal(s.failed)
	}
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	if err := s.Try("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

// start makes the cluster, if there is none yet, and runs the server.
func (s *Server) start() (err error) {
	if s.dir == "" {
		if err := s.create(); err != nil {
			return errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	s.process, err = s.run()
	return err
}

func (s *Server) url(database string) string {
	q := url.Values{"host": {s.dir}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Socket is the path of the server's Unix socket, for tests that stand between.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// Execute runs SQL as the server's owner, in its own database.
func (s *Server) Execute(t testing.TB, query string) {
	t.Helper()
	if err := s.Try(query); err != nil {
		t.Fatal(err)
	}
}

// Try is Execute for what may fail.
func (s *Server) Try(query string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // it was asked and has answered
	_, err = c.Exec(ctx, query)
	return err
}

// Kill ends the server at once, as kill -9 of all its processes does, and returns when it is gone.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
	s.process = nil
}

// Restart runs it again after Kill. It returns when connections are taken.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server, if it runs, and removes all its databases.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.kill()
		s.process = nil
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
