package tufrepo

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// issuedField is the member of a timestamp that says when it was made. A
// device takes it as a lower bound of the time.
const issuedField = "x-fairlead-issued"

// online is the next snapshot and timestamp, signed and not yet in place.
type online struct {
	snapshot, timestamp metadataFile
	// agreed tells whether every root of the chain vouches for both.
	agreed bool
}

// metadataFile is a metadata file in memory.
type metadataFile struct {
	name string
	data []byte
}

// makeOnline makes a timestamp over a new snapshot that lists meta, or over
// the present one if meta is nil. chain is the roots that a device may have.
func (r *Repo) makeOnline(base *bundle.Base, chain []*metadata.Metadata[metadata.RootType], meta map[string]*metadata.MetaFiles) (*online, error) {
	ring, err := r.keyring()
	if err != nil {
		return nil, err
	}
	o := &online{agreed: true}
	pin := currentSnapshot(base)
	if meta != nil {
		if pin, err = r.makeSnapshot(o, ring, base, chain, meta); err != nil {
			return nil, err
		}
	}
	return o, r.makeTimestamp(o, ring, base, chain, pin)
}

func currentSnapshot(base *bundle.Base) *metadata.MetaFiles {
	if base.Snapshot() == nil {
		return nil
	}
	return base.Snapshot().MetaFile()
}

func (r *Repo) makeSnapshot(o *online, ring keyring, base *bundle.Base, chain []*metadata.Metadata[metadata.RootType], meta map[string]*metadata.MetaFiles) (*metadata.MetaFiles, error) {
	m := metadata.Snapshot(bundle.Expiry(r.clock(), time.Duration(r.config.SnapshotLife)))
	version, err := r.freeSnapshotVersion(base)
	if err != nil {
		return nil, err
	}
	m.Signed.Version = version
	m.Signed.Meta = maps.Clone(meta)
	raw, err := sign(ring, chain, metadata.SNAPSHOT, m)
	if err != nil {
		return nil, err
	}
	o.snapshot = metadataFile{bundle.MetadataName(version, metadata.SNAPSHOT), raw}
	o.agreed = o.agreed && bundle.Vouched(chain, metadata.SNAPSHOT, m)
	return bundle.MetaFile(version, raw), nil
}

// freeSnapshotVersion passes over snapshots that were never published: a cache
// in front of the repository may have met one of them.
func (r *Repo) freeSnapshotVersion(base *bundle.Base) (int64, error) {
	version := int64(1)
	if base.Snapshot() != nil {
		version = base.Snapshot().Version + 1
	}
	for ; version <= bundle.MaxVersion; version++ {
		_, err := os.Lstat(r.path(bundle.MetadataName(version, metadata.SNAPSHOT)))
		if os.IsNotExist(err) {
			return version, nil
		}
		if err != nil {
			return 0, fmt.Errorf("numbering the snapshot: %w", err)
		}
	}
	return 0, fmt.Errorf("snapshot versions are used up")
}

func (r *Repo) makeTimestamp(o *online, ring keyring, base *bundle.Base, chain []*metadata.Metadata[metadata.RootType], pin *metadata.MetaFiles) error {
	now := r.clock()
	m := metadata.Timestamp(bundle.Expiry(now, time.Duration(r.config.TimestampLife)))
	if before := base.Timestamp(); before != nil {
		m.Signed.Version = before.Version + 1
		if last := issued(before.Meta); m.Signed.Expires.Before(last) {
			return fmt.Errorf("the clock of this machine says %s, and the last timestamp was made at %s: set the clock",
				now.UTC().Format(time.RFC3339), last.Format(time.RFC3339))
		}
	}
	m.Signed.Meta = map[string]*metadata.MetaFiles{metadata.SNAPSHOT + ".json": pin}
	m.Signed.UnrecognizedFields = map[string]any{issuedField: now.UTC().Truncate(time.Second).Format(time.RFC3339)}
	raw, err := sign(ring, chain, metadata.TIMESTAMP, m)
	if err != nil {
		return err
	}
	o.timestamp = metadataFile{bundle.TimestampName, raw}
	o.agreed = o.agreed && bundle.Vouched(chain, metadata.TIMESTAMP, m)
	return nil
}

// issued is when a timestamp was made, or the zero time if it does not say.
func issued(m *metadata.Metadata[metadata.TimestampType]) time.Time {
	text, _ := m.Signed.UnrecognizedFields[issuedField].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// overlay shows files that are not there yet over those of a file system.
type overlay struct {
	fs.FS
	files map[string][]byte
}

func (o overlay) Open(name string) (fs.File, error) {
	data, ok := o.files[name]
	if !ok {
		return o.FS.Open(name)
	}
	return newMemFile(name, data), nil
}
