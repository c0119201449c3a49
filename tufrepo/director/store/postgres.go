package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// writeConns is Options.Conns by default.
	writeConns = 16
	// statementTime ends a statement of which nothing is heard: the server's machine may be gone.
	statementTime = time.Minute
	connectTime   = 5 * time.Second
)

// postgres is a PostgreSQL server.
type postgres struct {
	node             string
	writers, readers *pgxpool.Pool
	closing          <-chan struct{}
	texts            sync.Map // statements, with PostgreSQL's placeholders
}

func openPostgres(ctx context.Context, where string, o Options, closing <-chan struct{}) (*postgres, error) {
	config, err := pgxpool.ParseConfig(where)
	if err != nil {
		return nil, err
	}
	if o.Conns <= 0 {
		o.Conns = writeConns
	}
	tune(config)
	if err := prepare(ctx, config.ConnConfig); err != nil {
		return nil, classify(err)
	}
	p := &postgres{node: o.Node, closing: closing}
	if p.writers, err = pool(ctx, config, o.Conns); err != nil {
		return nil, err
	}
	if p.readers, err = pool(ctx, config, (o.Conns+1)/2); err != nil {
		p.writers.Close()
		return nil, err
	}
	return p, nil
}

func pool(ctx context.Context, config *pgxpool.Config, conns int) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.MaxConns = int32(conns)
	return pgxpool.NewWithConfig(ctx, config)
}

// tune sets what keeps our promises whatever the server's defaults are.
func tune(config *pgxpool.Config) {
	c := config.ConnConfig
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > connectTime {
		c.ConnectTimeout = connectTime
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "fairlead-repo"
	}
	// What a director that has lost its power has locked is free again soon.
	c.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		  WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
		return err
	}
}

// prepare looks whether the database will do, and brings it up to date.
func prepare(ctx context.Context, config *pgx.ConnConfig) error {
	c, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // whatever was to be stored is committed
	if e := c.PgConn().ParameterStatus("server_encoding"); e != "UTF8" {
		return fmt.Errorf("its encoding is %s: make it with createdb --encoding=UTF8 --template=template0", e)
	}
	return migrate(ctx, postgresSchema{c}, migrations)
}

func (p *postgres) close() error {
	p.readers.Close() // waits for who uses a connection
	p.writers.Close()
	return nil
}

// update runs fn until nobody came between. Connections do not wait for each other: the
// server flushes the commits of many at once.
func (p *postgres) update(ctx context.Context, fn func(*Tx) error) error {
	return p.persist(ctx, p.writers, func() (error, error) { return p.attempt(ctx, fn) })
}

// persist calls f until it succeeds or its second error, the reason, is not worth another try.
func (p *postgres) persist(ctx context.Context, from *pgxpool.Pool, f func() (err, reason error)) error {
	for n := 1; ; n++ {
		err, reason := f()
		if err == nil || n >= patience(reason) {
			return err
		}
		if stale(reason) {
			from.Reset() // the connections that wait in the pool are no better
		}
		select {
		case <-time.After(rand.N(time.Millisecond << min(n, 7))):
		case <-p.closing:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// patience is how many times in all to try in the face of err.
func patience(err error) int {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return 1
	case stale(err):
		return 5
	case !errors.As(err, &pe):
		return 1
	case pe.Code == serializationFailed || pe.Code == deadlockDetected:
		return 30
	case pe.Code == uniqueViolation:
		return 2 // somebody else may have stored it since fn looked, and now fn will see it
	}
	return 1
}

// stale says that another connection may do better.
func stale(err error) bool {
	var pe *pgconn.PgError
	return gone(err) || errors.As(err, &pe) && pe.Code == readOnlyTransaction
}

// attempt runs fn once. Nothing of it is stored unless err is nil or ErrUnknown. reason is the
// failure of the database behind err, nil if fn must not run again.
func (p *postgres) attempt(ctx context.Context, fn func(*Tx) error) (err, reason error) {
	c, err := p.acquire(ctx, p.writers)
	if err != nil {
		return fmt.Errorf("writing the database: %w", classify(err)), err
	}
	defer c.Release()
	ctx = context.WithoutCancel(ctx)
	tx, err := begin(ctx, c, "") // the server's own, which may be read-only for a reason
	if err != nil {
		return fmt.Errorf("writing the database: %w", classify(err)), err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // nothing to do after the commit
	t := &Tx{ctx: ctx, s: pgSession{p, tx}, node: p.node}
	if err := guard(fn, t); err != nil {
		return err, t.err
	}
	if err := commit(ctx, tx); err != nil {
		return fmt.Errorf("writing the database: %w", err), nil
	}
	return nil, nil
}

func (p *postgres) acquire(ctx context.Context, from *pgxpool.Pool) (*pgxpool.Conn, error) {
	c, err := from.Acquire(ctx)
	if err == nil {
		return c, nil
	}
	select {
	case <-p.closing:
		return nil, ErrClosed
	default:
	}
	if e := ctx.Err(); e != nil {
		return nil, fmt.Errorf("waiting for a connection: %w", e)
	}
	return nil, err
}

// begin begins a transaction that sees the database as it is at its first statement. A row
// that another has changed since cannot be changed in it.
func begin(ctx context.Context, c *pgxpool.Conn, mode pgx.TxAccessMode) (pgx.Tx, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	return c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: mode})
}

// commit asks nothing of pgconn.SafeToRetry: it also says yes where the commit was sent and
// the connection was lost before the answer.
func commit(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	if tx.Conn().IsClosed() {
		return classify(pgconn.ErrConnClosed)
	}
	err := tx.Commit(ctx)
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback), errors.As(err, &pe) && pe.SeverityUnlocalized == "ERROR":
		return classify(err)
	}
	return fmt.Errorf("%w: the connection was lost at the commit: %w", ErrUnknown, err)
}

// view tries again only before fn begins.
func (p *postgres) view(ctx context.Context, fn func(*Tx) error) error {
	return p.persist(ctx, p.readers, func() (error, error) {
		c, err := p.acquire(ctx, p.readers)
		if err != nil {
			return fmt.Errorf("reading the database: %w", classify(err)), err
		}
		defer c.Release()
		tx, err := begin(ctx, c, pgx.ReadOnly)
		if err != nil {
			return fmt.Errorf("reading the database: %w", classify(err)), err
		}
		defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // a read has nothing to lose
		return fn(&Tx{ctx: ctx, s: pgSession{p, tx}, node: p.node}), nil
	})
}

// pgSession is one transaction.
type pgSession struct {
	p  *postgres
	tx pgx.Tx
}

func (s pgSession) text(query string) string {
	if t, ok := s.p.texts.Load(query); ok {
		return t.(string)
	}
	t := placeholders(query)
	s.p.texts.Store(query, t)
	return t
}

func (s pgSession) exec(ctx context.Context, query string, args []any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	tag, err := s.tx.Exec(ctx, s.text(query), args...)
	return tag.RowsAffected(), err
}

func (s pgSession) query(ctx context.Context, query string, args []any, row func(scanner) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	rows, err := s.tx.Query(ctx, s.text(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
