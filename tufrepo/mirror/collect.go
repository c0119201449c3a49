package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

const maxJournal = 64 << 20

// collect notes since when objects are of no use, after the bucket shows the new state, and removes on request those
// whose grace has ended. The note is durable before the first of them goes.
func (r *run) collect(ctx context.Context) error {
	old, err := r.loadJournal()
	if err != nil {
		return err
	}
	j := r.unreferenced(old)
	if !maps.Equal(old, j) {
		if err := r.saveJournal(j); err != nil {
			return err
		}
	}
	grace := r.Grace
	if grace == 0 {
		grace = tufrepo.Grace
	}
	grace = max(grace, r.contents.Life)
	for _, name := range slices.Sorted(maps.Keys(j)) {
		until := j[name].Add(grace)
		if !r.GC || r.Clock().Before(until) {
			r.wait(until)
			continue
		}
		if err := r.bucket.remove(ctx, name); err != nil {
			return err
		}
		r.done.Removed = append(r.done.Removed, name)
	}
	return nil
}

func (r *run) wait(until time.Time) {
	r.done.Waiting++
	if r.done.Next.IsZero() || until.Before(r.done.Next) {
		r.done.Next = until
	}
}

// unreferenced names the objects to which the state does not lead. One that is new here has its whole grace before it.
func (r *run) unreferenced(old map[string]time.Time) map[string]time.Time {
	used := map[string]bool{bundle.TimestampName: true}
	for _, f := range slices.Concat(r.contents.Files, r.contents.Roots) {
		used[f.Name] = true
	}
	now := r.Clock().UTC().Truncate(time.Second)
	j := map[string]time.Time{}
	for name := range r.there {
		if used[name] || tufrepo.IsRoot(name) {
			continue
		}
		since, known := old[name]
		if !known || since.After(now) {
			since = now
		}
		j[name] = since
	}
	return j
}

func (r *run) journalPath() string {
	return filepath.Join(r.repo.Dir(), filepath.FromSlash(stateDir), r.bucket.id()+".json")
}

func (r *run) loadJournal() (map[string]time.Time, error) {
	f, err := os.Open(r.journalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]time.Time{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mirror's journal: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return nil, fmt.Errorf("reading the mirror's journal: %w", err)
	}
	j := map[string]time.Time{}
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: maxJournal}, &j); err != nil {
		r.Log.Warn("the mirror's journal is damaged and starts anew: objects are kept longer", "error", err)
		return map[string]time.Time{}, nil
	}
	return j, nil
}

func (r *run) saveJournal(j map[string]time.Time) error {
	raw, err := json.Marshal(j)
	if err == nil {
		err = durable.WriteFile(r.journalPath(), append(raw, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the mirror's journal: %w", err)
	}
	return nil
}
