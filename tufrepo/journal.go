package tufrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

const journalName = "state/unreferenced.json"

// journal says since when nothing names a file. It errs on the side of keeping:
// without an entry, a file counts as unreferenced from the moment that somebody
// looks.
type journal map[string]time.Time

func (r *Repo) loadJournal() (journal, error) {
	raw, err := os.ReadFile(r.path(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return journal{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	j := journal{}
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: maxUnrefFile}, &j); err != nil {
		r.log.Warn("the journal of unreferenced files is damaged and starts anew: gc will keep them longer", "error", err)
		return journal{}, nil
	}
	return j, nil
}

func (r *Repo) saveJournal(before, after journal) error {
	if maps.Equal(before, after) {
		return nil
	}
	raw, err := json.Marshal(after)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return r.write(journalName, append(raw, '\n'))
}

// forget drops what is about to be used from the journal, and returns the rest. It comes before the
// swap: an entry that outlived its file's return to use would let Collect take
// the file too early when it falls out of use again.
func (r *Repo) forget(used map[string]bool) (journal, error) {
	j, err := r.loadJournal()
	if err != nil {
		return nil, err
	}
	rest := maps.Clone(j)
	maps.DeleteFunc(rest, func(name string, _ time.Time) bool { return used[name] })
	return rest, r.saveJournal(j, rest)
}

// notice enters into the journal what a step leaves without use. What an unfinished publish has left is for Collect to find.
func (r *Repo) notice(j journal, s *step) error {
	left, err := s.left()
	if err != nil {
		return err
	}
	now := r.clock().UTC().Truncate(time.Second)
	more := maps.Clone(j)
	for name := range left {
		more[name] = now
	}
	return r.saveJournal(j, more)
}

// unreferenced brings the journal up to date and returns it.
func (r *Repo) unreferenced(used map[string]bool) (journal, error) {
	old, err := r.loadJournal()
	if err != nil {
		return nil, err
	}
	now := r.clock().UTC().Truncate(time.Second)
	j := journal{}
	err = r.eachFile(func(name string, _ fs.FileInfo) error {
		if used[name] {
			return nil
		}
		since, known := old[name]
		if !known || since.After(now) {
			since = now
		}
		j[name] = since
		return nil
	})
	if err != nil {
		return nil, err
	}
	return j, r.saveJournal(old, j)
}

// eachFile visits what is served, by the names that devices ask for. Files of
// other names are somebody else's.
func (r *Repo) eachFile(f func(name string, info fs.FileInfo) error) error {
	fsys, err := r.FS()
	if err != nil {
		return err
	}
	for _, top := range []string{"metadata", "targets", "blobs"} {
		err := fs.WalkDir(fsys, top, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || !served(name) {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			return f(name, info)
		})
		if err != nil {
			return fmt.Errorf("listing the repository: %w", err)
		}
	}
	return nil
}

// reachable lists everything that a device which has any root of the chain can
// come to from the state's timestamp.
func reachable(b *bundle.Base) (map[string]bool, error) {
	used, releases := outline(b)
	return used, addBlobs(used, b, releases)
}

// outline is reachable but for the blobs, which only the manifests of the releases name.
func outline(b *bundle.Base) (used map[string]bool, releases []bundle.Entry) {
	used = map[string]bool{bundle.TimestampName: true}
	for _, root := range b.Roots() {
		used[root.Name] = true
	}
	if b.Snapshot() == nil {
		return used, nil
	}
	used[b.Snapshot().Name] = true
	if policy := b.PolicyFile(); policy != "" {
		used[policy] = true
	}
	for file, pin := range b.Snapshot().Meta.Signed.Meta {
		role := file[:len(file)-len(path.Ext(file))]
		used[bundle.MetadataName(pin.Version, role)] = true
	}
	for _, product := range b.Products() {
		releases = append(releases, b.Releases(product)...)
	}
	policy, _ := b.Policy()
	for _, e := range releases {
		used[bundle.ManifestName(e.Path, e.SHA256)] = true
		if policy != nil && policy.Required() {
			used[bundle.ProofName(e.Path, e.SHA256, policy)] = true
		}
	}
	return used, releases
}

func addBlobs(used map[string]bool, b *bundle.Base, releases []bundle.Entry) error {
	for _, e := range releases {
		m, err := b.Manifest(e.Path)
		if err != nil {
			return fmt.Errorf("listing %s: %w", e.Product, err)
		}
		for _, blob := range m.Blobs() {
			used[bundle.BlobName(blob.SHA256)] = true
		}
	}
	return nil
}

// step is what one step from a published state to the next changes of what devices can come to.
type step struct {
	base, next     *bundle.Base
	enters, leaves map[string]bool // but for blobs
	fresh, gone    []bundle.Entry
}

func newStep(base, next *bundle.Base) *step {
	s := &step{base: base, next: next}
	was, before := outline(base)
	is, now := outline(next)
	s.fresh = slices.DeleteFunc(now, func(e bundle.Entry) bool { return was[bundle.ManifestName(e.Path, e.SHA256)] })
	s.gone = slices.DeleteFunc(before, func(e bundle.Entry) bool { return is[bundle.ManifestName(e.Path, e.SHA256)] })
	s.enters, s.leaves = maps.Clone(is), was
	maps.DeleteFunc(s.enters, func(name string, _ bool) bool { return was[name] })
	maps.DeleteFunc(s.leaves, func(name string, _ bool) bool { return is[name] })
	return s
}

// entered is what comes into use, and perhaps blobs that were. Of the releases only the new ones are looked at.
func (s *step) entered() (map[string]bool, error) {
	all := maps.Clone(s.enters)
	return all, addBlobs(all, s.next, s.fresh)
}

// left is what falls out of use.
func (s *step) left() (map[string]bool, error) {
	all := maps.Clone(s.leaves)
	if len(s.gone) == 0 {
		return all, nil
	}
	if err := addBlobs(all, s.base, s.gone); err != nil {
		return nil, err
	}
	used, err := reachable(s.next)
	maps.DeleteFunc(all, func(name string, _ bool) bool { return used[name] })
	return all, err
}
