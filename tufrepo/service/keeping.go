package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/tufrepo/director"
)

const (
	// recheckAll is how many looks later everybody is looked at, whatever was withdrawn.
	recheckAll      = 30
	generationEvery = time.Minute
	retainEvery     = 24 * time.Hour
)

// DefaultKeyFile is where the key file of a repository's service lies unless somebody says
// otherwise: beside the repository, so that no copy of its folder has both.
func DefaultKeyFile(repo string) string { return filepath.Clean(repo) + ".key" }

// GenerationFile is where the newest generation of the database is noted that was seen. It is
// not in the service's state folder, so that a restored one does not bring it along.
func GenerationFile(repo string) string { return filepath.Join(repo, "state", "generation") }

// OpenKeyFile loads the key file of a repository's service; path may be empty for the usual
// one. It is made where there is none, unless something was sealed already.
func OpenKeyFile(repo, path string) (*director.SealKey, error) {
	if path == "" {
		path = DefaultKeyFile(repo)
	}
	if err := outside(path, StateDir(repo)); err != nil {
		return nil, err
	}
	k, err := director.LoadSealKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	// What the director makes first. Without it nothing can have been sealed.
	if _, sealed := os.Lstat(filepath.Join(StateDir(repo), "keys", director.CodesFile)); sealed == nil {
		return nil, fmt.Errorf("%w: the keys of this service are sealed with it: bring it back, or name it with --key-file or FAIRLEAD_KEY_FILE; "+
			"if it is lost, see \"A lost key file\" in docs/operations.md", err)
	}
	return director.MakeSealKey(path)
}

// outside refuses a key file in the folder whose secrets it seals.
func outside(path, dir string) error {
	file, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, file); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("key file %s lies within %s, whose keys it seals: whoever copies the one has the other; choose another place", path, dir)
	}
	return nil
}

// keep is everything that the service does now and then, until ctx ends.
func (s *Service) keep(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.director.GuardLoop(ctx, s.Limits.look(generationEvery)) })
	g.Go(func() error { return s.director.RetentionLoop(ctx, retainEvery) })
	g.Go(func() error { return s.recheckLoop(ctx, s.Limits.Recheck) })
	return g.Wait()
}

// recheckLoop ends connections of those who were withdrawn, by this director or another.
func (s *Service) recheckLoop(ctx context.Context, every time.Duration) error {
	if s.broker == nil {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := ""
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		word, err := s.director.Withdrawals(ctx)
		if err != nil {
			s.Log.Warn("it is not known who was withdrawn", "error", err)
			continue
		}
		s.broker.Recheck(ctx, word != seen || n%recheckAll == 0)
		seen = word
	}
}
