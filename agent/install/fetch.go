package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// zeroPiece bounds how long the writer is busy with zeros between two looks at the context.
const zeroPiece = 64 << 20

// fetchHead gets header and index of the artifact, proves them, and reads them.
func (r *run) fetchHead(ctx context.Context) error {
	want := r.Manifest.Artifact.Head
	if want.Length < 0 || want.Length > firmware.MaxHead {
		return fmt.Errorf("%w: the artifact's head has %d bytes, at most %d are allowed", ErrCorrupt, want.Length, firmware.MaxHead)
	}
	b := make([]byte, want.Length)
	wrong := 0
	for failures := 1; ; failures++ {
		err := r.read(ctx, 0, b)
		if err == nil && firmware.Sum(b) == want.SHA256 {
			return r.useHead(b)
		}
		if err == nil {
			wrong++
			err = fmt.Errorf("%w: the artifact's head is not the one of the manifest", ErrCorrupt)
		}
		if wrong == 2 {
			return err
		}
		if err := r.pause(ctx, failures, err); err != nil {
			return err
		}
	}
}

func (r *run) useHead(b []byte) error {
	head, err := firmware.ParseHead(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if head.ImageLength() != r.Manifest.Image.Length || head.ArtifactLength() != r.Manifest.Artifact.Length {
		return fmt.Errorf("%w: the artifact is for an image of %d bytes and has %d, the manifest says %d and %d", ErrCorrupt,
			head.ImageLength(), head.ArtifactLength(), r.Manifest.Image.Length, r.Manifest.Artifact.Length)
	}
	r.head, r.done = head, make([]bool, head.Len())
	return nil
}

// read fills b from one request.
func (r *run) read(ctx context.Context, offset int64, b []byte) error {
	body, err := r.open(ctx, offset, int64(len(b)))
	if err != nil {
		return err
	}
	defer body.Close()
	return r.readFull(body, b)
}

func (r *run) open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return r.Source.Open(ctx, "blobs/"+r.Manifest.Artifact.SHA256.String(), offset, length)
}

func (r *run) readFull(body io.Reader, b []byte) error {
	n, err := io.ReadFull(body, b)
	r.fetched.Add(int64(n))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// piece is a frame on its way to the slot, or a run of frames of zeros.
type piece struct {
	firmware.Frame        // the first of them
	count          int    // how many frames
	length         int64  // of all their image bytes
	bytes          []byte // the frame's stored bytes, later its image bytes; nil for zeros
	buffer         []byte // what they lie in
}

// fetch sends all frames of todo, in order. It goes on where a request broke off.
func (r *run) fetch(ctx context.Context, todo []int, out chan<- piece) error {
	failures := 0
	for len(todo) > 0 {
		n, err := r.fetchSome(ctx, todo, out)
		todo = todo[n:]
		if n > 0 {
			failures = 0
		}
		if err == nil {
			continue
		}
		failures++
		if err := r.pause(ctx, failures, err); err != nil {
			return err
		}
	}
	return nil
}

// fetchSome sends the zeros or the stored frames that stand first in todo, and returns how many it sent.
func (r *run) fetchSome(ctx context.Context, todo []int, out chan<- piece) (int, error) {
	if p := r.zeros(todo); p.count > 0 {
		return p.count, send(ctx, out, p)
	}
	group, length := r.group(todo)
	body, err := r.open(ctx, group[0].Offset, length)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for i, f := range group {
		if err := r.fetchFrame(ctx, body, f, out); err != nil {
			return i, err
		}
	}
	return len(group), nil
}

func (r *run) fetchFrame(ctx context.Context, body io.Reader, f firmware.Frame, out chan<- piece) error {
	buf, err := r.stored.wait(ctx)
	if err != nil {
		return err
	}
	if err := r.readFull(body, buf[:f.Stored]); err != nil {
		r.stored.give(buf)
		return err
	}
	return send(ctx, out, piece{Frame: f, count: 1, length: f.Length, bytes: buf[:f.Stored], buffer: buf})
}

// zeros is the run of frames of zeros at the front of todo; its count may be 0.
func (r *run) zeros(todo []int) piece {
	var p piece
	for _, i := range todo {
		f := r.head.Frame(i)
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

// group is what one request gets: frames at the front of todo whose stored bytes are neighbours. Zeros between them store
// nothing, but end the group, so that pieces keep their order.
func (r *run) group(todo []int) (frames []firmware.Frame, length int64) {
	for _, i := range todo {
		f := r.head.Frame(i)
		if len(frames) > 0 && (f.Kind == firmware.FrameZero || f.Offset != frames[0].Offset+length || length+f.Stored > r.Limits.Request) {
			break
		}
		frames, length = append(frames, f), length+f.Stored
	}
	return frames, length
}

func send(ctx context.Context, out chan<- piece, p piece) error {
	select {
	case out <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits before the next request, after so many failed ones in a row; or says that there is no use in one.
func (r *run) pause(ctx context.Context, failures int, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	wait := r.backoff(failures, err)
	if errors.Is(err, fs.ErrNotExist) || failures >= r.Limits.Attempts || wait > r.Limits.MaxBackoff {
		return fmt.Errorf("%w: fetching the artifact of %s %s: %w", ErrUnavailable, r.Manifest.Product, r.Manifest.Version, err)
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
