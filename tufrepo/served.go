package tufrepo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Served is a file that devices may ask for, as a copy elsewhere has to serve it.
type Served struct {
	Name         string // relative to the repository
	Length       int64  // bytes
	SHA256       firmware.Digest
	ContentType  string
	CacheControl string
	// Data is the content of a file that changes, as it was: the timestamp, the log's checkpoint. It is nil for files
	// that never change.
	Data []byte
}

// Contents is what one timestamp leads to. Whoever puts Files in place in their order, and then the timestamp and
// the roots as RootsLast says, shows devices the state before or this one.
type Contents struct {
	Files     []Served // blobs, manifests, proofs, log policy, products, targets, log, snapshot
	Roots     []Served // oldest first; new ones are put newest first
	Timestamp Served
	// Life is how long a timestamp is good: what it leads to is kept as long, and the default grace longer.
	Life time.Duration

	base *bundle.Base
}

// IsServed tells whether a name is one that devices may ask for.
func IsServed(name string) bool { return served(name) }

// IsRoot tells whether a name is that of a root, which is kept for ever.
func IsRoot(name string) bool { return isRoot(name) }

// Version is the version of the timestamp.
func (c *Contents) Version() int64 { return c.base.Timestamp().Version }

// RootsLast tells whether a device that has the root of version old, and no newer one, believes the timestamp and
// what it leads to: then new roots are put after the timestamp, and else before it.
func (c *Contents) RootsLast(old int64) bool {
	if old < 1 || old > int64(len(c.base.Roots())) {
		return false
	}
	chain := []*metadata.Metadata[metadata.RootType]{c.base.Roots()[old-1].Meta}
	return bundle.Vouched(chain, metadata.TIMESTAMP, c.base.Timestamp().Meta) &&
		bundle.Vouched(chain, metadata.SNAPSHOT, c.base.Snapshot().Meta) &&
		bundle.Vouched(chain, metadata.TARGETS, c.base.Targets())
}

// Contents lists the published state. Errors: ErrBusy while somebody publishes, ErrUnpublished, and
// bundle.ErrUnsettled where a publish was cut short between timestamp and root.
func (r *Repo) Contents() (*Contents, error) {
	base, unlock, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if base.Timestamp() == nil {
		return nil, ErrUnpublished
	}
	if !base.Settled() {
		return nil, fmt.Errorf("the last publish was cut short: run it again: %w", bundle.ErrUnsettled)
	}
	used, err := reachable(base)
	if err != nil {
		return nil, err
	}
	fsys, err := r.FS()
	if err != nil {
		return nil, err
	}
	if err := addLog(used, fsys); err != nil {
		return nil, err
	}
	c := &Contents{Life: time.Duration(r.config.TimestampLife), base: base}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		f, err := describeServed(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("listing what is served (publish the bundle of a file that is gone again): %w", err)
		}
		c.add(f)
	}
	slices.SortStableFunc(c.Files, func(a, b Served) int { return rank(a.Name) - rank(b.Name) })
	slices.SortFunc(c.Roots, func(a, b Served) int { return int(versionOf(a.Name) - versionOf(b.Name)) })
	return c, nil
}

func (c *Contents) add(f Served) {
	switch {
	case f.Name == bundle.TimestampName:
		c.Timestamp = f
	case isRoot(f.Name):
		c.Roots = append(c.Roots, f)
	default:
		c.Files = append(c.Files, f)
	}
}

// addLog adds the files of the log, where there is one.
func addLog(used map[string]bool, fsys fs.FS) error {
	err := fs.WalkDir(fsys, logName, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && logFile(name) {
			used[name] = true
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing the log: %w", err)
	}
	return nil
}

// rank is the place of a file in the order of a publish.
func rank(name string) int {
	_, role, isMetadata := bundle.ParseMetadataName(name)
	_, isBlob := bundle.ParseBlobName(name)
	switch {
	case isBlob:
		return 0
	case isMetadata && role == metadata.SNAPSHOT:
		return 6
	case name == logCheckpoint:
		return 5
	case logFile(name):
		return 4
	case isMetadata && role == metadata.TARGETS:
		return 3
	case isMetadata:
		return 2
	}
	return 1 // manifests, proofs, the log policy
}

func versionOf(name string) int64 {
	v, _, _ := bundle.ParseMetadataName(name)
	return v
}

// describeServed reads all but blobs, of which the name has the digest.
func describeServed(fsys fs.FS, name string) (Served, error) {
	s := Served{Name: name, ContentType: contentType(name), CacheControl: cacheForEver}
	f, err := fsys.Open(name)
	if err != nil {
		return s, fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close()
	if d, ok := bundle.ParseBlobName(name); ok {
		info, err := f.Stat()
		if err != nil {
			return s, fmt.Errorf("reading %s: %w", name, err)
		}
		s.SHA256, s.Length, s.ContentType = d, info.Size(), "application/octet-stream"
		return s, nil
	}
	raw, err := io.ReadAll(io.LimitReader(f, bundle.MaxTargets+1))
	if err != nil {
		return s, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(raw) > bundle.MaxTargets {
		return s, fmt.Errorf("%s has more than %d bytes", name, bundle.MaxTargets)
	}
	s.SHA256, s.Length = sha256.Sum256(raw), int64(len(raw))
	if name == bundle.TimestampName || name == logCheckpoint {
		s.Data, s.CacheControl = raw, cacheNever
	}
	return s, nil
}
