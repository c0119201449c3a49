package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// conn is one connection with the statements that it has prepared: SQLite takes longer to
// read a statement than to run it. It is used by one goroutine at a time. The statements
// are constants of this package, so there are few.
type conn struct {
	*sql.Conn
	prepared map[string]*sql.Stmt
}

func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c, map[string]*sql.Stmt{}}, nil
}

func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s := c.prepared[query]; s != nil {
		return s, nil
	}
	// Not the caller's context: the statement outlives it.
	s, err := c.PrepareContext(context.Background(), query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// do runs a statement without arguments, whatever becomes of the caller.
func (c *conn) do(query string) error {
	_, err := c.exec(context.Background(), query)
	return classify(err)
}

func (c *conn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.Conn.Close())...)
}

// Tx is what one View or Update sees. It is valid inside the function only.
type Tx struct {
	ctx context.Context
	c   *conn
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	res, err := t.c.exec(t.ctx, query, args...)
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

type scanner interface{ Scan(dest ...any) error }

// scanOne is for rows of one column.
func scanOne[T any](r scanner) (v T, err error) {
	err = r.Scan(&v)
	return v, err
}

// list collects the rows of a query.
func list[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := t.c.query(t.ctx, query, args...)
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

// get is the first row of a query, or ErrNotFound.
func get[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := list(t, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// in runs fn between BEGIN and ROLLBACK: for reading.
func (c *conn) in(ctx context.Context, fn func(*Tx) error) error {
	if err := c.do("BEGIN"); err != nil {
		return fmt.Errorf("reading the database: %w", err)
	}
	defer c.do("ROLLBACK") //nolint:errcheck // a read has nothing to lose
	return classify(fn(&Tx{ctx: ctx, c: c}))
}
