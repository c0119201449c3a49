package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// transition is a step from one published state to the next.
type transition struct {
	*online
	roots     []bundle.File // oldest first
	rootsLast bool
	plan      *bundle.Plan // nil: no product changes
	// check, if set, has the last word: it is shown a view of every state that
	// a device could meet.
	check func(ctx context.Context, view fs.FS, b *bundle.Base) error
}

// swap makes what was prepared visible, and returns the new state. First it
// looks at that state through an overlay; then come the one or two steps that
// devices can see; around them the journal for Collect.
func (r *Repo) swap(ctx context.Context, base *bundle.Base, c transition) (*bundle.Base, error) {
	next, err := r.preview(ctx, base, c)
	if err != nil {
		return nil, fmt.Errorf("trying the result, before anything is changed: %w", err)
	}
	change := newStep(base, next)
	used, err := change.entered()
	if err != nil {
		return nil, err
	}
	journal, err := r.forget(used)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	steps := []func() error{func() error { return r.putRoots(c.roots) }, func() error { return r.write(c.timestamp.name, c.timestamp.data) }}
	if c.rootsLast {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := r.notice(journal, change); err != nil {
		r.log.Warn("the journal of unreferenced files was not written: gc will keep them longer", "error", err)
	}
	return next, nil
}

// preview loads the state to come, and lets c.check try it and the state
// between the two steps.
func (r *Repo) preview(ctx context.Context, base *bundle.Base, c transition) (*bundle.Base, error) {
	fsys, err := r.FS()
	if err != nil {
		return nil, err
	}
	timestamp := map[string][]byte{c.timestamp.name: c.timestamp.data}
	all := map[string][]byte{c.timestamp.name: c.timestamp.data}
	for _, f := range c.roots {
		all[f.Name] = f.Data
	}
	views := []fs.FS{overlay{fsys, all}}
	if c.rootsLast && len(c.roots) > 0 {
		views = append(views, overlay{fsys, timestamp})
	}
	var states []*bundle.Base
	for _, view := range views {
		b, err := bundle.LoadNext(view, base, c.plan)
		if err == nil && c.check != nil {
			err = c.check(ctx, view, b)
		}
		if err != nil {
			return nil, err
		}
		states = append(states, b)
	}
	return states[0], nil
}

// putRoots writes new roots newest first: none can be reached until the last
// is there, and then all can.
func (r *Repo) putRoots(roots []bundle.File) error {
	for _, f := range slices.Backward(roots) {
		old, err := os.ReadFile(r.path(f.Name))
		switch {
		case err == nil && bytes.Equal(old, f.Data):
			continue
		case err == nil && f.Name == roots[0].Name:
			return fmt.Errorf("%s is there with other bytes, and a root is never replaced", f.Name)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("looking at %s: %w", f.Name, err)
		}
		if err := r.write(f.Name, f.Data); err != nil {
			return err
		}
	}
	return nil
}
