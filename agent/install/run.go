package install

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
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
	defer r.close()
	err = r.run(ctx)
	r.res.Fetched = r.fetched.Load()
	return r.res, err
}

// run is the state of one install.
type run struct {
	Plan
	c       *carrier // where the image comes from, and what the slot is compared with
	journal journal
	line    *line
	many    PartSource // Source, if it can give several parts at once

	workers int
	chunk   int      // length of what a worker reads of the slot at once
	stored  *arena   // for bytes of the artifact
	images  *buffers // for bytes of the image and of the slot, one for each worker

	mu      sync.Mutex // for what follows, while workers are at work
	done    ranges     // of the image: it is in the slot
	refused ranges     // of the image: frames that the base does not make
	durable ranges     // of the image: it is in the slot, and a checkpoint came after it
	right   ranges     // of what is durable: it was read back
	wrong   ranges     // the same, and was something else
	proof   int        // the frame that is read back next
	sums    map[Extent]uint64
	since   int64     // bytes that came into the slot since the last checkpoint
	synced  time.Time // when that was
	lost    bool      // Sync failed: nothing more may be believed of the slot
	res     Result
	ahead   int64 // bytes that will have been fetched in the end

	seed    maphash.Seed // of sums
	fetched atomic.Int64
	proven  atomic.Int64 // bytes read back
	told    atomic.Int64 // when the last report was
	syncing sync.Mutex   // one checkpoint at a time
	telling sync.Mutex   // one report at a time
	proving sync.Mutex   // one reads back early at a time
	meter   meter
}

func newRun(p Plan) (*run, error) {
	if p.Manifest == nil || p.Source == nil || p.Target == nil || p.Slot == "" || p.Journal == "" {
		return nil, errors.New("installing: manifest, source, target, slot and journal are needed")
	}
	p = p.withDefaults()
	many, _ := p.Source.(PartSource)
	return &run{Plan: p, journal: journal{disk: p.Disk, dir: p.Journal}, line: newLine(), many: many, sums: map[Extent]uint64{}, seed: maphash.MakeSeed()}, nil
}

func (p Plan) withDefaults() Plan {
	l := &p.Limits
	orDefault(&l.Buffers, 20<<20)
	orDefault(&l.Request, math.MaxInt64)
	orDefault(&l.Checkpoint, 64<<20)
	orDefault(&l.Attempts, 6)
	orDefault(&l.Backoff, 500*time.Millisecond)
	orDefault(&l.MaxBackoff, 30*time.Second)
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	return p
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (r *run) run(ctx context.Context) error {
	if err := r.choose(ctx); err != nil {
		return err
	}
	if err := r.Target.Reserve(r.Manifest.Image.Length, extents(r.c.head)); err != nil {
		return err
	}
	if err := r.allocate(r.c); err != nil {
		return err
	}
	if err := r.resume(); err != nil {
		return err
	}
	if err := r.fill(ctx); err != nil {
		return r.settle(err)
	}
	return r.prove(ctx)
}

// choose takes the patch, if there is one that can be had, and else the artifact.
func (r *run) choose(ctx context.Context) error {
	if r.c = r.patch(); r.c != nil {
		err := r.load(ctx, r.c, r.whole(r.c))
		if err == nil || !unusable(err) {
			return err
		}
		r.c.close()
		r.Log.Warn("there is a patch, but it cannot be used: the artifact takes its place", "err", err)
	}
	r.c = r.artifact()
	return r.load(ctx, r.c, r.whole(r.c))
}

// close gives everything back.
func (r *run) close() {
	if r.c != nil {
		r.c.close()
	}
	r.free()
}

// allocate divides the memory: one frame of the image for each worker, the rest for what was fetched.
func (r *run) allocate(c *carrier) error {
	head, largest := c.head, int64(blockSize)
	for i := range head.Len() {
		largest = max(largest, head.Frame(i).Stored)
	}
	r.chunk = min(compareChunk, head.FrameSize())
	room := int64(head.FrameSize() + r.chunk)
	r.workers = int(min(max((r.Limits.Buffers-largest)/room, 1), int64(cmp.Or(r.Limits.Workers, c.workers()))))
	r.free()
	var err error
	if r.images, err = newBuffers(r.workers, int(room)); err != nil {
		return err
	}
	stored := min(r.Limits.Buffers-int64(r.workers)*room, 2*int64(r.workers+1)*largest)
	if r.stored, err = newArena(int(max(stored, largest))); err != nil {
		r.free()
	}
	return err
}

func (r *run) free() {
	if r.images != nil {
		r.images.close()
	}
	if r.stored != nil {
		r.stored.close()
	}
	r.images, r.stored = nil, nil
}

// extents are the runs of frames that are not zeros.
func extents(head *firmware.Head) []Extent {
	var data []Extent
	for i := range head.Len() {
		f := head.Frame(i)
		if f.Kind == firmware.FrameZero {
			continue
		}
		if last := len(data) - 1; last >= 0 && data[last].end() == f.At {
			data[last].Length += f.Length
			continue
		}
		data = append(data, Extent{f.At, f.Length})
	}
	return data
}
