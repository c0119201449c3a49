package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Renewed says what a renewal has done.
type Renewed struct {
	Timestamp int64     `json:"timestamp"` // version
	Snapshot  int64     `json:"snapshot"`  // version
	Signed    bool      `json:"signed"`    // the snapshot is a new one, too
	Issued    time.Time `json:"issued"`
	Expires   time.Time `json:"expires"` // of the timestamp
	Next      time.Time `json:"next"`    // when the next renewal is due
}

// Renew signs a new timestamp, and a new snapshot if the present one is past
// half its life or not signed by the keys of the newest root, which is so after
// a root has changed them. Errors: ErrBusy, ErrUnpublished, ErrNoKey, and
// bundle.ErrUnsettled if targets too must be signed anew.
func (r *Repo) Renew(ctx context.Context) (Renewed, error) {
	base, unlock, err := r.begin()
	if err != nil {
		return Renewed{}, err
	}
	defer unlock()
	if base.Timestamp() == nil {
		return Renewed{}, ErrUnpublished
	}
	chain := []*metadata.Metadata[metadata.RootType]{base.Root()}
	if !bundle.Vouched(chain, metadata.TARGETS, base.Targets()) {
		return Renewed{}, fmt.Errorf("root %d does not vouch for targets %d: publish the bundle that brings the next targets: %w",
			base.Root().Signed.Version, base.TargetsDoc().Version, bundle.ErrUnsettled)
	}
	var meta map[string]*metadata.MetaFiles
	if r.snapshotDue(base) {
		meta = base.Snapshot().Meta.Signed.Meta
	}
	o, err := r.makeOnline(base, chain, meta)
	if err != nil {
		return Renewed{}, fmt.Errorf("renewing: %w", err)
	}
	if meta != nil {
		if err := r.write(o.snapshot.name, o.snapshot.data); err != nil {
			return Renewed{}, fmt.Errorf("renewing: %w", err)
		}
	}
	next, err := r.swap(ctx, base, transition{online: o})
	if err != nil {
		return Renewed{}, fmt.Errorf("renewing: %w", err)
	}
	return r.renewed(next, meta != nil), nil
}

// snapshotDue: a snapshot outlives every timestamp that is made over it.
func (r *Repo) snapshotDue(base *bundle.Base) bool {
	s := base.Snapshot().Meta
	rest := s.Signed.Expires.Sub(r.clock())
	return rest < time.Duration(r.config.SnapshotLife)/2 || rest < time.Duration(r.config.TimestampLife) ||
		!bundle.Vouched([]*metadata.Metadata[metadata.RootType]{base.Root()}, metadata.SNAPSHOT, s)
}

func (r *Repo) renewed(b *bundle.Base, signed bool) Renewed {
	t := b.Timestamp()
	return Renewed{
		Timestamp: t.Version, Snapshot: b.Snapshot().Version, Signed: signed,
		Issued: issued(t.Meta), Expires: t.Meta.Signed.Expires, Next: r.due(b),
	}
}

// due is when the timestamp is past half its life: early enough for a repair
// if renewing fails.
func (r *Repo) due(b *bundle.Base) time.Time {
	return b.Timestamp().Meta.Signed.Expires.Add(-time.Duration(r.config.TimestampLife) / 2)
}

// Pauses of RenewLoop.
const (
	retryFirst = 5 * time.Second // after a failure; doubled each time
	retryMost  = 5 * time.Minute
	lookAgain  = time.Minute // for work of others: a publish, a root with new keys
)

// RenewLoop renews whenever it is due, until ctx ends, and returns ctx's error.
// Failures are logged and tried again; it looks at the folder once a minute, or
// at each look if that is longer, so that other processes may publish and renew
// besides it.
func (r *Repo) RenewLoop(ctx context.Context, look time.Duration) error {
	retry := retryFirst
	var seen settled
	for {
		pause := max(lookAgain, look)
		err := r.renewIfDue(ctx, &seen)
		switch {
		case err == nil:
			retry = retryFirst
		case errors.Is(err, ErrBusy):
			pause = retryFirst
		default:
			r.log.Error("the timestamp was not renewed: devices refuse it once it has expired", "error", err, "retry", retry)
			pause, retry = retry, min(2*retry, retryMost)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// settled is a state in which nothing is to be done until due, and by which
// files it is known again without verifying everything.
type settled struct {
	due       time.Time
	timestamp []byte
	nextRoot  string // the name of a root that is not there
}

func (r *Repo) still(s *settled) bool {
	if s.timestamp == nil || !r.clock().Before(s.due) {
		return false
	}
	now, err := os.ReadFile(r.path(bundle.TimestampName))
	if err != nil || !bytes.Equal(now, s.timestamp) {
		return false
	}
	_, err = os.Lstat(r.path(s.nextRoot))
	return errors.Is(err, fs.ErrNotExist)
}

func (r *Repo) renewIfDue(ctx context.Context, seen *settled) error {
	if r.still(seen) {
		return nil
	}
	fsys, err := r.FS()
	if err != nil {
		return err
	}
	base, err := bundle.LoadOwn(fsys)
	if err != nil || base.Timestamp() == nil {
		return err
	}
	due := r.due(base)
	if base.Settled() && r.clock().Before(due) {
		*seen = settled{due, base.Timestamp().Bytes, bundle.MetadataName(base.Root().Signed.Version+1, metadata.ROOT)}
		return nil
	}
	done, err := r.Renew(ctx)
	if err != nil {
		return err
	}
	r.log.Info("timestamp renewed", "version", done.Timestamp, "expires", done.Expires, "snapshot", done.Snapshot)
	return nil
}
