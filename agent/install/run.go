package install

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// maxBad is how many frames the source may give wrong before a Run gives up: one is an accident, many are another file.
const maxBad = 3

// Run brings the image into the slot and proves that it is there. The image is in the slot, durably, if and only if the
// error is nil. What a failed Run leaves is in the package comment; the Result is right in any case.
//
// The errors wrap ErrTooSmall or ErrNoSpace before anything was written (ErrNoSpace also later, on file systems that
// cannot reserve); ErrUnavailable when the source gave nothing for Limits.Attempts requests, or has no such blob;
// ErrCorrupt when source or slot gave wrong bytes twice; ErrIO when the slot failed; or the cause of ctx's end.
func Run(ctx context.Context, p Plan) (Result, error) {
	r, err := newRun(p)
	if err != nil {
		return Result{}, err
	}
	err = r.run(ctx)
	r.res.Fetched = r.fetched.Load()
	return r.res, err
}

// run is the state of one install. While a pass runs, done, since and res belong to its writer.
type run struct {
	Plan
	head    *firmware.Head
	journal journal
	done    []bool // by frame: it is in the slot
	since   int64  // bytes written since the last checkpoint
	lost    bool   // Sync failed: nothing more may be believed of the slot
	bad     []error
	stored  *buffers // for bytes of the artifact
	images  *buffers // for bytes of the image
	fetched atomic.Int64
	res     Result
}

func newRun(p Plan) (*run, error) {
	if p.Manifest == nil || p.Source == nil || p.Target == nil || p.Slot == "" || p.Journal == "" {
		return nil, errors.New("installing: manifest, source, target, slot and journal are needed")
	}
	l := &p.Limits
	orDefault(&l.Buffers, 12<<20)
	orDefault(&l.Request, 8<<20)
	orDefault(&l.Checkpoint, 16<<20)
	orDefault(&l.Workers, min(2, runtime.GOMAXPROCS(0)))
	orDefault(&l.Attempts, 6)
	orDefault(&l.Backoff, 500*time.Millisecond)
	orDefault(&l.MaxBackoff, 30*time.Second)
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	return &run{Plan: p, journal: journal{dir: p.Journal}}, nil
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (r *run) run(ctx context.Context) error {
	if err := r.fetchHead(ctx); err != nil {
		return err
	}
	if err := r.Target.Reserve(r.head.ImageLength(), r.extents()); err != nil {
		return err
	}
	if err := r.allocate(); err != nil {
		return err
	}
	defer r.stored.close()
	defer r.images.close()
	if err := r.resume(); err != nil {
		return err
	}
	if err := r.fill(ctx); err != nil {
		return r.settle(err)
	}
	return r.prove(ctx)
}

// allocate divides the buffers between the two ends of the decoder. Each worker needs one at either.
func (r *run) allocate() error {
	size := r.head.FrameSize()
	count := max(4, int(r.Limits.Buffers/int64(size)))
	r.Limits.Workers = min(r.Limits.Workers, count/2)
	var err error
	if r.stored, err = newBuffers(count/2, size); err != nil {
		return err
	}
	if r.images, err = newBuffers(count-count/2, size); err != nil {
		r.stored.close()
	}
	return err
}

// extents are the runs of frames that are not zeros.
func (r *run) extents() []Extent {
	var data []Extent
	for i := range r.head.Len() {
		f := r.head.Frame(i)
		if f.Kind == firmware.FrameZero {
			continue
		}
		if last := len(data) - 1; last >= 0 && data[last].Offset+data[last].Length == f.At {
			data[last].Length += f.Length
			continue
		}
		data = append(data, Extent{f.At, f.Length})
	}
	return data
}

// fill writes every frame that is not done, and those that the source gave wrong once more.
func (r *run) fill(ctx context.Context) error {
	for range 2 {
		todo := r.todo()
		if len(todo) == 0 {
			break
		}
		r.bad = nil
		if err := r.pass(ctx, todo); err != nil {
			return err
		}
		for _, err := range r.bad {
			r.Log.Warn("the source gave a wrong frame", "err", err)
		}
	}
	if len(r.bad) > 0 {
		return errors.Join(r.bad...)
	}
	return r.checkpoint()
}

func (r *run) todo() []int {
	var todo []int
	for i, done := range r.done {
		if !done {
			todo = append(todo, i)
		}
	}
	return todo
}

// settle keeps what was written before an error, unless the slot itself is what failed.
func (r *run) settle(err error) error {
	if r.lost || errors.Is(err, ErrIO) || errors.Is(err, ErrNoSpace) || r.since == 0 {
		return err
	}
	return errors.Join(err, r.checkpoint())
}

// checkpoint makes all that was written durable, and only then says so in the journal. A journal that cannot be written
// does not stop an install: it costs a resume.
func (r *run) checkpoint() error {
	if err := r.Target.Sync(); err != nil {
		r.lost = true
		return r.unwritten(slotError("syncing the slot, which counts as unwritten now", err))
	}
	r.since = 0
	if err := r.journal.advance(r.prefix()); err != nil {
		r.Log.Warn("an interrupted install would start over", "err", err)
	}
	return nil
}

// prefix counts the leading frames that are done.
func (r *run) prefix() int {
	for i, done := range r.done {
		if !done {
			return i
		}
	}
	return len(r.done)
}

// unwritten forgets what the journal says of the slot.
func (r *run) unwritten(err error) error {
	return errors.Join(err, r.journal.drop())
}
