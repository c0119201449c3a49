package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/fairlead/fairlead/firmware"
)

// carrier is a file that carries the image, frame by frame: the artifact, a patch, or the chunks.
type carrier struct {
	what string // "artifact", "patch" or "chunks"
	firmware.Framed
	from   firmware.Blob // of a patch
	parse  func([]byte) (*firmware.Head, error)
	head   *firmware.Head // of the chunks: that of the artifact
	raw    []byte         // the file's own head
	rest   *request       // what follows the head, if it was asked for with it
	chunks *chunks        // if it is these
}

func (r *run) artifact() *carrier {
	return &carrier{what: "artifact", Framed: r.Manifest.Artifact, parse: firmware.ParseHead}
}

// patch is the one that fits the base; nil if there is none, or it would not save anything.
func (r *run) patch() *carrier {
	for _, p := range r.Manifest.Patches {
		if r.Base != nil && p.From == r.BaseImage && p.Length < r.Manifest.Artifact.Length {
			return &carrier{what: "patch", Framed: p.Framed, from: p.From, parse: firmware.ParsePatchHead}
		}
	}
	return nil
}

func (c *carrier) isPatch() bool { return c.from.Length > 0 }

// workers is how many are of use, at two or three at most, for each takes the memory of a frame. An artifact is decoded so
// quickly that one more than there are processors keeps them busy while another waits for the slot.
func (c *carrier) workers() int {
	n := runtime.GOMAXPROCS(0)
	if !c.isPatch() {
		n++
	}
	return min(max(n, 2), 3)
}

// stored is where the stored bytes of a frame lie in the file.
func (c *carrier) stored(f firmware.Frame) []Extent {
	if f.Stored == 0 {
		return nil
	}
	if c.chunks != nil {
		return c.chunks.missing(f)
	}
	return []Extent{{f.Offset, f.Stored}}
}

func (c *carrier) name() string { return "blobs/" + c.SHA256.String() }

// close gives back what an early end has left.
func (c *carrier) close() {
	if c.rest != nil {
		c.rest.close()
		c.rest = nil
	}
}

// load gets header and index of c, proves them, and reads them. An attempt before may have kept them. If all says that
// what follows will be wanted, it is asked for with them, which saves a round trip.
func (r *run) load(ctx context.Context, c *carrier, all bool) error {
	if err := r.loadRaw(ctx, c, all); err != nil {
		return err
	}
	head, err := c.parse(c.raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if head.ImageLength() != r.Manifest.Image.Length || head.ArtifactLength() != c.Length || head.From() != c.from {
		return fmt.Errorf("%w: the %s is for an image of %d bytes and has %d, the manifest says %d and %d", ErrCorrupt,
			c.what, head.ImageLength(), head.ArtifactLength(), r.Manifest.Image.Length, c.Length)
	}
	c.head = head
	return nil
}

// loadRaw is load without reading what the head says.
func (r *run) loadRaw(ctx context.Context, c *carrier, all bool) (err error) {
	if c.Head.Length < 0 || c.Head.Length > firmware.MaxHead {
		return fmt.Errorf("%w: the %s's head has %d bytes, at most %d are allowed", ErrCorrupt, c.what, c.Head.Length, firmware.MaxHead)
	}
	if c.raw = r.kept(c); c.raw == nil {
		c.raw, err = r.fetchHead(ctx, c, all)
	}
	return err
}

// whole says whether all that follows the head of c will be wanted, as far as can be told. Where there are chunks, and a
// base to be searched for them, the artifact may have to bring very little.
func (r *run) whole(c *carrier) bool { return c.isPatch() || r.Base == nil || r.Manifest.Chunks == nil }

// headRequest is to where the request goes that gets the head; all says that what follows will be wanted.
func (r *run) headRequest(c *carrier, all bool) int64 {
	if all && c.Length <= r.Limits.Request {
		return c.Length
	}
	return c.Head.Length
}

// fetchHead gets the head, once more if it is wrong.
func (r *run) fetchHead(ctx context.Context, c *carrier, all bool) ([]byte, error) {
	b := make([]byte, c.Head.Length)
	wrong := 0
	for failures := 1; ; failures++ {
		q := r.open(ctx, c.name(), []Extent{{0, r.headRequest(c, all)}}, 0)
		_, err := r.readFull(ctx, q, b)
		if err == nil && firmware.Sum(b) == c.Head.SHA256 {
			c.rest = q
			return b, nil
		}
		q.close()
		if err == nil {
			wrong++
			err = fmt.Errorf("%w: the %s's head is not the one of the manifest", ErrCorrupt, c.what)
		}
		if wrong == 2 {
			return nil, err
		}
		if err := r.pause(ctx, c, failures, err); err != nil {
			return nil, err
		}
	}
}

// maxKept is how long a head may be to be kept: of artifacts and patches, one for an image of more than 64 GiB is fetched again.
const maxKept = 2 << 20

// keep saves a head in the journal's folder, so that an install that is interrupted does not fetch it again.
func (r *run) keep(c *carrier) {
	if c.Head.Length <= maxKept && r.kept(c) == nil {
		// The syncs are not needed for safety: a head that is lost or torn is not the manifest's, and is fetched again.
		if err := r.Disk.WriteFile(r.keptPath(c), c.raw, 0o600); err != nil {
			r.Log.Warn("an interrupted install would fetch the index again", "err", err)
		}
	}
	c.raw = nil
}

// kept is the head that keep saved; nil if it is another one, or none.
func (r *run) kept(c *carrier) []byte {
	info, err := r.Disk.Stat(r.keptPath(c))
	if err != nil || info.Size() != c.Head.Length || c.Head.Length > maxKept {
		return nil
	}
	b, err := r.Disk.ReadFile(r.keptPath(c))
	if err != nil || firmware.Sum(b) != c.Head.SHA256 {
		return nil
	}
	return b
}

func (r *run) keptPath(c *carrier) string { return filepath.Join(r.Journal, c.what+".head") }

// unusable reports that a carrier is not there or not what the manifest says, whatever the state of the network.
func unusable(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist)
}
