// Package logread reads a log of C2SP tlog-tiles, from a folder or over HTTP.
// Nobody needs to trust what it reads from: whoever uses it holds checkpoints
// against keys, and entries and proofs against checkpoints.
//
// Sizes are limited before anything is parsed. The names are those of
// tlog-tiles: checkpoint, tile/<level>/<n>[.p/<w>], tile/entries/<n>[.p/<w>].
package logread

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

const (
	maxTile    = layout.TileWidth * 32
	maxEntries = layout.EntryBundleWidth * (2 + tlog.MaxLeaf)
)

// Reader reads one log. It may be used by several goroutines.
type Reader struct {
	// open opens a file of the log; an absent one is fs.ErrNotExist.
	open func(ctx context.Context, name string) (io.ReadCloser, error)
}

// Folder reads the log in a folder.
func Folder(fsys fs.FS) Reader {
	return Reader{func(_ context.Context, name string) (io.ReadCloser, error) { return fsys.Open(name) }}
}

// HTTP reads the log below base. The client's own timeout holds.
func HTTP(base *url.URL, c *http.Client) Reader {
	return Reader{func(ctx context.Context, name string) (io.ReadCloser, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(name).String(), nil)
		if err != nil {
			return nil, err
		}
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
			return nil, fmt.Errorf("%s: %w", req.URL, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("%s: the server answers %s", req.URL, resp.Status)
	}}
}

func (r Reader) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	f, err := r.open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the log: %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("reading the log: %s has more than %d bytes", name, limit)
	}
	return b, nil
}

// Checkpoint is the newest one, a signed note that nobody has verified yet. A
// log that has none yet is fs.ErrNotExist.
func (r Reader) Checkpoint(ctx context.Context) ([]byte, error) {
	return r.read(ctx, layout.CheckpointPath, tlog.MaxProof)
}

// part reads a partial file, or the full one that has taken its place.
func (r Reader) part(ctx context.Context, p uint8, name func(p uint8) string, limit int64) ([]byte, error) {
	b, err := r.read(ctx, name(p), limit)
	if p > 0 && errors.Is(err, fs.ErrNotExist) {
		return r.read(ctx, name(0), limit)
	}
	return b, err
}

func (r Reader) tile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	return r.part(ctx, p, func(p uint8) string { return layout.TilePath(level, index, p) }, maxTile)
}

func (r Reader) bundle(ctx context.Context, index uint64, p uint8) ([]byte, error) {
	return r.part(ctx, p, func(p uint8) string { return layout.EntriesPath(index, p) }, maxEntries)
}

// Entries gives visit the entries from number from to below size, in order. size
// is that of a checkpoint; nothing says yet that the entries are its own.
func (r Reader) Entries(ctx context.Context, from, size uint64, visit func(index uint64, entry []byte) error) error {
	for index := from; index < size; {
		bundle, err := client.GetEntryBundle(ctx, r.bundle, index/layout.EntryBundleWidth, size)
		if err != nil {
			return err
		}
		first := index - index%layout.EntryBundleWidth
		if index-first >= uint64(len(bundle.Entries)) {
			return fmt.Errorf("reading the log: entry %d is missing", index)
		}
		for _, entry := range bundle.Entries[index-first:] {
			if index == size {
				break // the full bundle of a larger log
			}
			if err := visit(index, entry); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// Inclusion is the way from an entry to the root of a tree of size entries.
func (r Reader) Inclusion(ctx context.Context, index, size uint64) ([]firmware.Digest, error) {
	b, err := client.NewProofBuilder(ctx, size, r.tile)
	if err != nil {
		return nil, err
	}
	return digests(b.InclusionProof(ctx, index))
}

// Consistency shows that a tree of size entries continues one of from; it is
// empty where from is 0 or size.
func (r Reader) Consistency(ctx context.Context, from, size uint64) ([]firmware.Digest, error) {
	if from == 0 || from == size {
		return nil, nil
	}
	b, err := client.NewProofBuilder(ctx, size, r.tile)
	if err != nil {
		return nil, err
	}
	return digests(b.ConsistencyProof(ctx, from, size))
}

func digests(hashes [][]byte, err error) ([]firmware.Digest, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	d := make([]firmware.Digest, len(hashes))
	for i, h := range hashes {
		if len(h) != len(d[i]) {
			return nil, errors.New("reading the log: a hash of another length than 32 bytes")
		}
		d[i] = firmware.Digest(h)
	}
	return d, nil
}

// tileForm is layout.TilePath and layout.EntriesPath, in their one spelling.
var tileForm = regexp.MustCompile(`^tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/){0,6}[0-9]{3}(\.p/([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?$`)

// Name tells whether name is one of a log's files, for whoever serves them;
// fixed says that its content never changes.
func Name(name string) (fixed, ok bool) {
	if name == layout.CheckpointPath {
		return false, true
	}
	return true, tileForm.MatchString(name)
}
