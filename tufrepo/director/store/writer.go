package store

import (
	"context"
	"errors"
	"fmt"
)

const (
	queue = 1024 // updates that may wait; more of them wait outside
	batch = 256  // updates in one transaction
)

// op is one update on its way.
type op struct {
	ctx  context.Context
	fn   func(*Tx) error
	done chan error // buffered: the writer never waits for a caller
}

// update puts fn into the queue of the writer.
func (s *sqlite) update(ctx context.Context, fn func(*Tx) error) error {
	o := &op{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case s.ops <- o:
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the database: %w", ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-s.done: // the writer has gone; it may have answered just before
		select {
		case err := <-o.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// write is the writer goroutine.
func (s *sqlite) write() {
	defer close(s.done)
	for {
		select {
		case o := <-s.ops:
			s.commit(s.gather(o))
		case <-s.closing:
			for len(s.ops) > 0 {
				s.commit(s.gather(<-s.ops))
			}
			return
		}
	}
}

// gather takes what is waiting behind first. While one batch is being flushed the next
// one grows, so the load decides the size.
func (s *sqlite) gather(first *op) []*op {
	ops := []*op{first}
	for len(ops) < batch {
		select {
		case o := <-s.ops:
			ops = append(ops, o)
		default:
			return ops
		}
	}
	return ops
}

// commit runs a batch and answers everyone in it.
func (s *sqlite) commit(ops []*op) {
	if err := s.writer.do("BEGIN IMMEDIATE"); err != nil {
		answer(ops, fmt.Errorf("writing the database: %w", err))
		return
	}
	var ran []*op
	for i, o := range ops {
		err := s.run(o)
		var lost errLost
		if errors.As(err, &lost) {
			// SQLite gave up the whole transaction, as it may when the disk is full.
			_ = s.writer.do("ROLLBACK")
			answer(append(ran, ops[i:]...), fmt.Errorf("writing the database: %w", lost.error))
			return
		}
		if err != nil {
			o.done <- err
			continue
		}
		ran = append(ran, o)
	}
	if err := s.writer.do("COMMIT"); err != nil {
		_ = s.writer.do("ROLLBACK")
		if errors.Is(err, ErrUnavailable) {
			err = fmt.Errorf("%w: %w", ErrUnknown, err) // it may be in the log file, though it was not synced
		}
		answer(ran, fmt.Errorf("writing the database: %w", err))
		return
	}
	answer(ran, nil)
}

func answer(ops []*op, err error) {
	for _, o := range ops {
		o.done <- err
	}
}

// errLost says that the transaction around the update is gone too.
type errLost struct{ error }

func (e errLost) Unwrap() error { return e.error }

// run runs one update within its savepoint. A commit in progress is not torn by one
// caller who goes: from here on the caller's context has no effect.
func (s *sqlite) run(o *op) error {
	if err := o.ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the database: %w", err)
	}
	if err := s.writer.do("SAVEPOINT one"); err != nil {
		return errLost{err}
	}
	err := guard(o.fn, &Tx{ctx: context.Background(), s: s.writer, node: s.node})
	if err != nil {
		if e := s.writer.do("ROLLBACK TO one"); e != nil {
			return errLost{err}
		}
	}
	if e := s.writer.do("RELEASE one"); e != nil {
		return errLost{errors.Join(err, e)}
	}
	return err
}
