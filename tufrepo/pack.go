package tufrepo

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// PackOptions are the choices of one pack.
type PackOptions struct {
	// Progress, if set, is told how many bytes of blobs are packed.
	Progress func(done, total int64)
}

// Packed says what is in a pack.
type Packed struct {
	Release Release   `json:"release"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`   // of the blobs
	Expires time.Time `json:"expires"` // a device refuses the pack from then on
}

// Pack writes one release and all the metadata that a device needs to verify
// it into the zip file out, every file stored as it is under its name in the
// repository. An existing file is replaced, once the new one is whole.
//
// A pack is a copy of the repository at this moment: it is good until the
// first of its metadata expires, which is normally the timestamp. A device
// that has seen newer metadata refuses it, too.
func (r *Repo) Pack(ctx context.Context, out, product, version string, o PackOptions) (Packed, error) {
	unlock, err := r.lock() // no swap in the middle of the copy
	if err != nil {
		return Packed{}, err
	}
	defer unlock()
	fsys, err := r.FS()
	if err != nil {
		return Packed{}, err
	}
	base, err := bundle.LoadBase(fsys, nil)
	if err != nil {
		return Packed{}, err
	}
	p, err := r.planPack(base, product, version)
	if err != nil {
		return Packed{}, err
	}
	p.fsys, p.opts = fsys, o
	if err := p.writeTo(ctx, out); err != nil {
		return Packed{}, fmt.Errorf("packing %s %s: %w", product, version, err)
	}
	return p.result, nil
}

// pack is a pack on its way.
type pack struct {
	fsys   fs.FS
	names  []string // small files
	blobs  []firmware.Blob
	opts   PackOptions
	result Packed
	done   int64
}

func (r *Repo) planPack(base *bundle.Base, product, version string) (*pack, error) {
	if base.Timestamp() == nil {
		return nil, ErrUnpublished
	}
	role := base.Product(product)
	if role == nil {
		return nil, fmt.Errorf("product %q is not published: fairlead-repo status lists those that are", product)
	}
	releases, err := bundle.Releases(product, role.Meta)
	if err != nil {
		return nil, err
	}
	p := &pack{}
	for _, root := range base.Roots() {
		p.names = append(p.names, root.Name)
	}
	p.names = append(p.names, bundle.TimestampName, base.Snapshot().Name, base.TargetsDoc().Name, role.Name)
	p.result.Expires = earliest(base, product)
	for _, e := range releases {
		if e.Version == version {
			return p, p.addRelease(base, e)
		}
	}
	return nil, fmt.Errorf("product %s has no release %q: fairlead-repo status lists its releases", product, version)
}

func (p *pack) addRelease(base *bundle.Base, e bundle.Entry) error {
	m, err := base.Manifest(e.Path)
	if err != nil {
		return err
	}
	p.result.Release = releaseOf(e)
	p.names = append(p.names, bundle.ManifestName(e.Path, e.SHA256))
	if policy, _ := base.Policy(); policy != nil {
		p.names = append(p.names, base.PolicyFile())
		if policy.Required() {
			p.names = append(p.names, bundle.ProofName(e.Path, e.SHA256, policy))
		}
	}
	p.blobs = m.Blobs()
	for _, b := range p.blobs {
		p.result.Bytes += b.Length
	}
	p.result.Files = len(p.names) + len(p.blobs)
	return nil
}

func earliest(b *bundle.Base, product string) time.Time {
	first := b.Root().Signed.Expires
	for _, t := range []time.Time{
		b.Timestamp().Meta.Signed.Expires, b.Snapshot().Meta.Signed.Expires,
		b.Targets().Signed.Expires, b.Role(product).Signed.Expires,
	} {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

func (p *pack) writeTo(ctx context.Context, out string) error {
	f, err := durable.Create(out, fileMode)
	if err != nil {
		return err
	}
	defer f.Abort()
	z := zip.NewWriter(f)
	for _, name := range p.names {
		raw, err := fs.ReadFile(p.fsys, name)
		if err != nil {
			return err
		}
		if err := p.add(z, name, func(w io.Writer) error { _, err := w.Write(raw); return err }); err != nil {
			return err
		}
	}
	for _, b := range p.blobs {
		if err := p.add(z, bundle.BlobName(b.SHA256), func(w io.Writer) error { return p.copyBlob(ctx, w, b) }); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Commit()
}

// add stores a file uncompressed, so that a reader can seek in it.
func (p *pack) add(z *zip.Writer, name string, write func(io.Writer) error) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err != nil {
		return err
	}
	return write(w)
}

func (p *pack) copyBlob(ctx context.Context, w io.Writer, b firmware.Blob) error {
	name := bundle.BlobName(b.SHA256)
	f, err := p.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	meter := readerFunc(func(buf []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := f.Read(buf)
		p.done += int64(n)
		if p.opts.Progress != nil {
			p.opts.Progress(p.done, p.result.Bytes)
		}
		return n, err
	})
	err = bundle.CopyBlob(w, meter, b)
	if errors.Is(err, bundle.ErrAltered) {
		return fmt.Errorf("%s in the repository is damaged: publish the release again from its bundle", name)
	}
	return err
}
