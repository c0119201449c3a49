package tufrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
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

// forget drops what is about to be used from the journal. It comes before the
// swap: an entry that outlived its file's return to use would let Collect take
// the file too early when it falls out of use again.
func (r *Repo) forget(used map[string]bool) error {
	j, err := r.loadJournal()
	if err != nil {
		return err
	}
	rest := maps.Clone(j)
	maps.DeleteFunc(rest, func(name string, _ time.Time) bool { return used[name] })
	return r.saveJournal(j, rest)
}

// notice enters what is not used any more.
func (r *Repo) notice(used map[string]bool) error {
	_, err := r.unreferenced(used)
	return err
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
	used := map[string]bool{bundle.TimestampName: true}
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
		if err := addReleases(used, b, product, b.Role(product)); err != nil {
			return nil, err
		}
	}
	return used, nil
}

func addReleases(used map[string]bool, b *bundle.Base, product string, role *metadata.Metadata[metadata.TargetsType]) error {
	releases, err := bundle.Releases(product, role)
	if err != nil {
		return fmt.Errorf("listing %s: %w", product, err)
	}
	for _, e := range releases {
		m, err := b.Manifest(e.Path)
		if err != nil {
			return fmt.Errorf("listing %s: %w", product, err)
		}
		used[bundle.ManifestName(e.Path, e.SHA256)] = true
		if policy, _ := b.Policy(); policy != nil && policy.Required() {
			used[bundle.ProofName(e.Path, e.SHA256, policy)] = true
		}
		for _, blob := range m.Blobs() {
			used[bundle.BlobName(blob.SHA256)] = true
		}
	}
	return nil
}
