package store

import (
	"context"
	"fmt"
	"strings"
)

// session runs the statements of one transaction. Statements are in the dialect that both
// engines share, with ? and ?N for their arguments; see placeholders.
type session interface {
	// exec says how many rows have changed.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// query calls row for each row until it returns an error.
	query(ctx context.Context, query string, args []any, row func(scanner) error) error
}

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

// Tx is what one View or Update sees. It is valid inside the function only.
type Tx struct {
	ctx  context.Context
	s    session
	node string // Options.Node
	err  error  // of the first statement that failed
}

func (t *Tx) exec(query string, args ...any) (n int64, err error) {
	if t.err == nil {
		n, t.err = t.s.exec(t.ctx, query, args)
	}
	return n, classify(t.err)
}

// do is exec for those who do not count.
func (t *Tx) do(query string, args ...any) error {
	_, err := t.exec(query, args...)
	return err
}

// one runs a statement that must change one row.
func (t *Tx) one(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// each calls f for each row. f must not run statements.
func each[T any](t *Tx, scan func(scanner) (T, error), f func(T) error, query string, args ...any) error {
	if t.err != nil {
		return classify(t.err)
	}
	var stop error // f's own, which is no failure of the statement
	err := t.s.query(t.ctx, query, args, func(r scanner) error {
		v, err := scan(r)
		if err != nil {
			return err
		}
		stop = f(v)
		return stop
	})
	if stop != nil {
		return stop
	}
	t.err = err
	return classify(err)
}

// scanOne is for rows of one column.
func scanOne[T any](r scanner) (v T, err error) {
	err = r.Scan(&v)
	return v, err
}

// list collects the rows of a query.
func list[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) (out []T, err error) {
	err = each(t, scan, func(v T) error {
		out = append(out, v)
		return nil
	}, query, args...)
	return out, err
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

// maxArguments is how many arguments one statement of insert has at most: the time that the
// SQLite driver takes to bind them grows with the square of their number.
const maxArguments = 500

// insert writes rows of columns each: head, then VALUES, then tail. One statement takes 100
// rows, or 25, 5, 1: statements are prepared, and must not be of too many kinds.
func insert[T any](t *Tx, rows []T, columns int, args func(T) []any, head, tail string) error {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	for _, n := range []int{100, 25, 5, 1} {
		if len(rows) < n || n > 1 && n*columns > maxArguments {
			continue
		}
		query := head + " VALUES " + row + strings.Repeat(", "+row, n-1) + tail
		for ; len(rows) >= n; rows = rows[n:] {
			values := make([]any, 0, n*columns)
			for _, r := range rows[:n] {
				values = append(values, args(r)...)
			}
			if err := t.do(query, values...); err != nil {
				return err
			}
		}
	}
	return nil
}

// limit is n, or 1000 for 0.
func limit(n int) int {
	if n <= 0 {
		return 1000
	}
	return n
}

// guard keeps the caller alive when fn has a bug. A statement that failed outlives what fn
// makes of it.
func guard(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("in the database: internal error: %v", p)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	return classify(tx.err)
}

// inList runs query with the values of items in brackets behind it, 100 at a time and then
// fewer.
func inList[T any](t *Tx, items []T, value func(T) any, query string, before ...any) error {
	for _, n := range []int{100, 10, 1} {
		if len(items) < n {
			continue
		}
		text := query + "(?" + strings.Repeat(", ?", n-1) + ")"
		for ; len(items) >= n; items = items[n:] {
			args := append([]any{}, before...)
			for _, item := range items[:n] {
				args = append(args, value(item))
			}
			if err := t.do(text, args...); err != nil {
				return err
			}
		}
	}
	return nil
}
