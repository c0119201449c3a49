package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Grace is how long Collect keeps what nothing names any more, by default: a
// device that has read a timestamp may still be fetching what it led to.
const Grace = 7 * 24 * time.Hour

// Collected says what Collect has done.
type Collected struct {
	Removed []string  `json:"removed"` // names
	Bytes   int64     `json:"bytes"`   // freed
	Waiting int       `json:"waiting"` // files that nothing names, within the grace
	Next    time.Time `json:"next"`    // when the first of them may go; zero if none
}

// Collect removes files that no timestamp within the grace has led to, and the
// temporary files of writers that were cut short. Roots stay for ever. What a timestamp leads to
// that has not expired stays whatever the grace: a device may hold it, or a cache in front of it.
//
// Since when a file is of no use is known from a journal that every publish and
// renewal keeps. A file that nobody has noted yet gets its whole grace from now.
func (r *Repo) Collect(ctx context.Context, grace time.Duration) (Collected, error) {
	base, unlock, err := r.begin()
	if err != nil {
		return Collected{}, err
	}
	defer unlock()
	grace = max(grace, time.Duration(r.config.TimestampLife))
	used, err := reachable(base)
	if err != nil {
		return Collected{}, err
	}
	old, err := r.unreferenced(used)
	if err != nil {
		return Collected{}, err
	}
	c := Collected{Removed: []string{}}
	names := make([]string, 0, len(old))
	for name := range old {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if err := r.collect(&c, name, old[name].Add(grace)); err != nil {
			return c, fmt.Errorf("removing what is not needed: %w", err)
		}
	}
	r.removeEmptyFolders(c.Removed)
	return c, nil
}

func (r *Repo) collect(c *Collected, name string, until time.Time) error {
	if isRoot(name) {
		return nil
	}
	if r.clock().Before(until) {
		c.Waiting++
		if c.Next.IsZero() || until.Before(c.Next) {
			c.Next = until
		}
		return nil
	}
	st, err := os.Lstat(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.remove(name); err != nil {
		return err
	}
	c.Removed = append(c.Removed, name)
	c.Bytes += st.Size()
	return nil
}

func isRoot(name string) bool {
	_, role, ok := bundle.ParseMetadataName(name)
	return ok && role == metadata.ROOT
}

// removeEmptyFolders removes folders of products that hold nothing any more.
// One that does is kept by the system itself.
func (r *Repo) removeEmptyFolders(removed []string) {
	for _, name := range removed {
		if dir := path.Dir(name); path.Dir(dir) == "targets" {
			_ = r.disk.Remove(r.path(dir))
		}
	}
}
