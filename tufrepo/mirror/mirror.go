package mirror

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

const (
	stateDir  = "mirror" // beside state/, whose leftovers publishers sweep under a lock of their own
	stateMode = 0o700
	atOnce    = 8 // questions about objects; uploads are one at a time
)

// ErrNewer says that the bucket shows devices a newer state than the folder has.
var ErrNewer = errors.New("the bucket has a newer timestamp than the repository: another repository is published there, or this one was restored from an old backup")

// Options are the choices of a run.
type Options struct {
	// GC removes objects to which the bucket's timestamp has not led for Grace; 0 means tufrepo.Grace.
	GC    bool
	Grace time.Duration
	// Progress, if set, is told how many bytes of those that the bucket lacks are there.
	Progress func(done, total int64)
	Clock    func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
}

// Done says what a run has done.
type Done struct {
	Place     string    `json:"place"`
	Timestamp int64     `json:"timestamp"` // version that the bucket shows now
	Objects   int       `json:"objects"`   // that it leads to, roots and itself included
	Uploaded  int       `json:"uploaded"`
	Bytes     int64     `json:"bytes"` // uploaded
	Removed   []string  `json:"removed"`
	Waiting   int       `json:"waiting"` // objects to which nothing leads, within the grace
	Next      time.Time `json:"next"`    // when the first of them may go; zero if none
}

// run is one run on its way.
type run struct {
	Options
	repo     *tufrepo.Repo
	fsys     fs.FS
	bucket   *bucket
	contents *tufrepo.Contents
	there    map[string]object
	lacking  map[string]bool
	total    int64
	sent     int64
	done     Done
}

// Run brings the bucket to the state that the repository has. Errors: ErrNewer; tufrepo.ErrBusy, while somebody
// publishes or mirrors; those of tufrepo.Repo.Contents; of the store. After any error, running it again completes the work.
func Run(ctx context.Context, repo *tufrepo.Repo, to Place, o Options) (Done, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	unlock, err := lock(repo)
	if err != nil {
		return Done{}, err
	}
	defer unlock()
	r := &run{Options: o, repo: repo, done: Done{Place: to.String(), Removed: []string{}}}
	if r.contents, err = repo.Contents(); err != nil {
		return Done{}, err
	}
	if r.fsys, err = repo.FS(); err != nil {
		return Done{}, err
	}
	if r.bucket, err = openBucket(to); err != nil {
		return Done{}, err
	}
	for _, step := range []func(context.Context) error{r.look, r.compare, r.putFiles, r.swap, r.collect} {
		if err := step(ctx); err != nil {
			return r.done, err
		}
	}
	return r.done, nil
}

// lock keeps two from mirroring at once: the slower one would put an older timestamp over a newer one.
func lock(repo *tufrepo.Repo) (unlock func(), err error) {
	dir := filepath.Join(repo.Dir(), filepath.FromSlash(stateDir))
	if err := durable.MkdirAll(dir, stateMode); err != nil {
		return nil, fmt.Errorf("mirroring: %w", err)
	}
	l, err := durable.TryLock(filepath.Join(dir, "lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("another process mirrors this repository: %w: %w", tufrepo.ErrBusy, err)
	}
	if err != nil {
		return nil, fmt.Errorf("mirroring: %w", err)
	}
	if err := durable.SweepTemps(dir); err != nil {
		_ = l.Unlock()
		return nil, fmt.Errorf("mirroring: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}

// look lists the bucket, and refuses one that is ahead.
func (r *run) look(ctx context.Context) (err error) {
	if r.there, err = r.bucket.list(ctx); err != nil {
		return err
	}
	if _, ok := r.there[bundle.TimestampName]; !ok {
		return nil
	}
	raw, err := r.bucket.get(ctx, bundle.TimestampName, bundle.MaxTargets)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := metadata.Timestamp().FromBytes(raw)
	if err != nil {
		r.Log.Warn("the bucket's timestamp is damaged and is replaced", "error", err)
		return nil
	}
	if v := r.contents.Version(); old.Signed.Version > v {
		return fmt.Errorf("%w: %d, not %d or less", ErrNewer, old.Signed.Version, v)
	}
	return nil
}

// compare finds what the bucket lacks.
func (r *run) compare(ctx context.Context) error {
	all := append(slices.Clone(r.contents.Files), r.contents.Roots...)
	all = append(all, r.contents.Timestamp)
	r.done.Objects, r.lacking = len(all), map[string]bool{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, f := range all {
		g.Go(func() error {
			ok, err := r.has(ctx, f)
			if err != nil || ok {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			r.lacking[f.Name] = true
			r.total += f.Length
			return nil
		})
	}
	return g.Wait()
}

// has tells whether the bucket has the file as it must be. A root of other bytes is not replaced.
func (r *run) has(ctx context.Context, f tufrepo.Served) (bool, error) {
	o, ok := r.there[f.Name]
	if ok && o.size == f.Length {
		same, err := r.same(ctx, f, o)
		if err != nil || same {
			return same, err
		}
	}
	if ok && tufrepo.IsRoot(f.Name) {
		return false, fmt.Errorf("%s in %s is another: another repository is published there; give this one a prefix of its own", f.Name, r.bucket.Place)
	}
	return false, nil
}

func (r *run) same(ctx context.Context, f tufrepo.Served, o object) (bool, error) {
	if _, isBlob := bundle.ParseBlobName(f.Name); !isBlob {
		if data, err := r.read(f); err != nil || matches(o.etag, data) {
			return err == nil, err
		}
	}
	o, err := r.bucket.look(ctx, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return o.size == f.Length && o.sha256 == f.SHA256.String(), err
}

// matches tells whether an ETag is the MD5 of the content, as it is for what was put in one piece and not encrypted by the store's
// key service. Nobody's safety hangs on it: devices verify.
func matches(etag string, data []byte) bool {
	sum := md5.Sum(data)
	return etag == hex.EncodeToString(sum[:])
}

func (r *run) read(f tufrepo.Served) ([]byte, error) {
	if f.Data != nil {
		return f.Data, nil
	}
	data, err := fs.ReadFile(r.fsys, f.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the repository (was gc run meanwhile? run it again): %w", err)
	}
	return data, nil
}

func (r *run) putFiles(ctx context.Context) error {
	for _, f := range r.contents.Files {
		if err := r.put(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// put uploads a file that the bucket lacks.
func (r *run) put(ctx context.Context, f tufrepo.Served) error {
	if err := ctx.Err(); err != nil || !r.lacking[f.Name] {
		return err
	}
	src, err := r.open(f)
	if err != nil {
		return fmt.Errorf("reading the repository (was gc run meanwhile? run it again): %w", err)
	}
	defer src.Close()
	if err := r.bucket.put(ctx, f, newChecked(src, f, r.tell)); err != nil {
		return err
	}
	r.done.Uploaded++
	r.done.Bytes += f.Length
	return nil
}

func (r *run) open(f tufrepo.Served) (io.ReadCloser, error) {
	if f.Data != nil {
		return io.NopCloser(bytes.NewReader(f.Data)), nil
	}
	return r.fsys.Open(f.Name)
}

func (r *run) tell(n int) {
	r.sent += int64(n)
	if r.Progress != nil {
		r.Progress(min(r.sent, r.total), r.total)
	}
}

// swap makes the state visible: the timestamp, and the roots newest first, after or before it.
func (r *run) swap(ctx context.Context) error {
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return r.put(ctx, r.contents.Timestamp) }, r.putRoots,
	}
	_, shown := r.there[bundle.TimestampName]
	old := r.oldRoot()
	if !shown || !r.contents.RootsLast(old) {
		slices.Reverse(steps)
		if shown && old < int64(len(r.contents.Roots)) {
			r.Log.Warn("the bucket's root does not vouch for the new timestamp: devices that look during the next moment will have to try again")
		}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.done.Timestamp = r.contents.Version()
	return nil
}

func (r *run) putRoots(ctx context.Context) error {
	for _, f := range slices.Backward(r.contents.Roots) {
		if err := r.put(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// oldRoot is the newest root that a device of the bucket can come to now.
func (r *run) oldRoot() int64 {
	for i, f := range r.contents.Roots {
		if r.lacking[f.Name] {
			return int64(i)
		}
	}
	return int64(len(r.contents.Roots))
}
