package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// zeroPiece bounds how long a worker is busy with zeros between two looks at the context.
const zeroPiece = 64 << 20

// piece is a frame on its way to the slot, or a run of frames of zeros.
type piece struct {
	firmware.Frame        // the first of them
	length         int64  // of all their image bytes
	count          int    // how many frames
	stored         []byte // what was fetched of the frame, of the arena; nil for zeros
}

func (p *piece) extent() Extent { return Extent{p.At, p.length} }

// fetch sends all frames of todo, in their order. It goes on where a request broke off.
func (r *run) fetch(ctx context.Context, c *carrier, todo []int, out chan<- piece) error {
	s := &stream{run: r, c: c}
	for _, i := range todo {
		s.wanted = append(s.wanted, c.stored(c.head.Frame(i))...)
	}
	s.adopt(ctx, c.rest)
	c.rest = nil
	defer s.close()
	for next := 0; len(todo) > 0; {
		p := zeros(c, todo)
		if p.count == 0 {
			f := c.head.Frame(todo[0])
			parts := len(c.stored(f))
			buf, err := r.fetchParts(ctx, c, s, next, parts)
			if err != nil {
				return err
			}
			p = piece{Frame: f, count: 1, length: f.Length, stored: buf}
			next += parts
		}
		select {
		case out <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		todo = todo[p.count:]
	}
	return nil
}

// muchRead is how many bytes must come between two failures for the line to count as one that works.
const muchRead = 16 << 10

// fetchParts gets count parts of what the stream wants, from the first on. What was read before a failure is not read again.
func (r *run) fetchParts(ctx context.Context, c *carrier, s *stream, first, count int) ([]byte, error) {
	if count == 0 {
		return []byte{}, nil
	}
	wanted := s.wanted[first : first+count]
	buf, err := r.stored.take(ctx, ranges(wanted).total())
	if err != nil {
		return nil, err
	}
	rest := buf
	for i, part := range wanted {
		if err := r.fetchPart(ctx, c, s, first+i, rest[:part.Length]); err != nil {
			r.stored.give(buf)
			return nil, err
		}
		rest = rest[part.Length:]
	}
	return buf, nil
}

func (r *run) fetchPart(ctx context.Context, c *carrier, s *stream, i int, p []byte) error {
	for got, failures := 0, 0; got < len(p); {
		n, err := s.read(ctx, i, s.wanted[i].Offset+int64(got), p[got:])
		if got += n; err == nil {
			break
		}
		if failures++; n >= muchRead {
			failures = 1
		}
		if err := r.pause(ctx, c, failures, err); err != nil {
			return err
		}
	}
	return nil
}

// zeros is the run of frames of zeros at the front of todo; its count may be 0.
func zeros(c *carrier, todo []int) piece {
	var p piece
	for _, i := range todo {
		f := c.head.Frame(i)
		if f.Kind != firmware.FrameZero || p.count > 0 && (i != p.Index+p.count || p.length >= zeroPiece) {
			break
		}
		if p.count == 0 {
			p.Frame = f
		}
		p.count, p.length = p.count+1, p.length+f.Length
	}
	return p
}

// pause waits before the next request, after so many failed ones in a row; or says that there is no use in one.
func (r *run) pause(ctx context.Context, c *carrier, failures int, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	wait := r.backoff(failures, err)
	if errors.Is(err, fs.ErrNotExist) || failures >= r.Limits.Attempts || wait > r.Limits.MaxBackoff {
		return fmt.Errorf("%w: fetching the %s of %s %s: %w", ErrUnavailable, c.what, r.Manifest.Product, r.Manifest.Version, err)
	}
	r.Log.Warn("fetching goes on after a pause", "failures", failures, "pause", wait, "err", err)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// backoff is a random part of a bound that doubles, and no less than what the server asked for.
func (r *run) backoff(failures int, err error) time.Duration {
	bound := r.Limits.Backoff
	for range failures - 1 {
		bound = min(2*bound, r.Limits.MaxBackoff)
	}
	wait := time.Duration(r.Rand() * float64(bound))
	var server interface{ RetryAfter() time.Duration }
	if errors.As(err, &server) {
		wait = max(wait, server.RetryAfter())
	}
	return wait
}
