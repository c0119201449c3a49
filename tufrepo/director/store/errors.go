package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLSTATE codes of PostgreSQL.
const (
	uniqueViolation     = "23505"
	readOnlyTransaction = "25006"
	noAuthorization     = "28000"
	wrongPassword       = "28P01"
	serializationFailed = "40001"
	deadlockDetected    = "40P01"
	noDatabase          = "3D000"
	noPrivilege         = "42501"
	diskFull            = "53100"
	tooManyConnections  = "53300"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	cannotConnectNow    = "57P03"
)

// classify puts our sentinels and, where a person can help, what to do on the errors of both
// engines.
func classify(err error) error {
	var se *sqlitedriver.Error
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &se):
		return classifySQLite(err, se.Code())
	case errors.As(err, &pe):
		return classifyPostgres(err, pe.Code)
	case gone(err):
		return fmt.Errorf("%w: the PostgreSQL server does not answer: is it running, and does it take connections from here? %w", ErrUnavailable, err)
	}
	return err
}

// fullAdvice is what helps against ErrFull of either engine.
const fullAdvice = "make room on its disk, or keep less: fairlead-repo settings set --device-days"

func classifySQLite(err error, code int) error {
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w, up to its disk or to its bound: %s: %w", ErrFull, fullAdvice, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w: its file cannot be written: is the disk mounted read-only, and does the file belong to the service's user? %w", ErrUnavailable, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: its disk fails: look into the kernel's log; if the disk has come back, restart the service: %w", ErrUnavailable, err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: its file cannot be opened: is the folder there, on a disk that is not read-only, and may the service's user write in it? %w", ErrUnavailable, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: its file is damaged: stop the service, and restore a backup with fairlead-repo restore --replace: %w", ErrUnavailable, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w: another program holds it: end that one: %w", ErrUnavailable, err)
	}
	if code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func classifyPostgres(err error, code string) error {
	advice := ""
	switch code {
	case uniqueViolation:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case diskFull:
		return fmt.Errorf("%w: the PostgreSQL server's disk has no room: %s: %w", ErrFull, fullAdvice, err)
	case noPrivilege:
		return fmt.Errorf("the PostgreSQL user may not do this: make it the owner of the database: %w", err)
	case noDatabase:
		return fmt.Errorf("make the database first, with createdb: %w", err)
	case wrongPassword, noAuthorization:
		return fmt.Errorf("the PostgreSQL server does not let this user in: check the URL, the password and pg_hba.conf: %w", err)
	case readOnlyTransaction:
		advice = "the PostgreSQL server takes no writes: if it is a standby, name the primary as well, with target_session_attrs=read-write; else somebody has set default_transaction_read_only, as providers do when the disk is nearly full"
	case tooManyConnections:
		advice = "the PostgreSQL server has no connection left: raise its max_connections"
	case adminShutdown, crashShutdown, cannotConnectNow:
		advice = "the PostgreSQL server is stopping or starting: wait"
	case serializationFailed, deadlockDetected:
		advice = "other updates of the same rows came first, again and again: try later"
	default:
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, advice, err)
}

// gone says whether the connection to the server is lost, or did not come about.
func gone(err error) bool {
	var ne net.Error
	var ce *pgconn.ConnectError
	var pe *pgconn.PgError
	switch {
	case errors.As(err, &pe):
		return pe.Code == adminShutdown || pe.Code == crashShutdown || pe.Code == cannotConnectNow
	case errors.Is(err, context.Canceled):
		return false
	}
	return errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
