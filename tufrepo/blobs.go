package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// putBlobs copies the bundle's blobs, and compares those that the repository
// is to contribute: a new release must not build on a blob that has rotted.
func (p *publication) putBlobs(ctx context.Context) error {
	total := p.plan.Bytes()
	for _, f := range p.plan.Inherited {
		total += f.Length
	}
	for _, f := range p.plan.Inherited {
		ok, err := p.holds(ctx, f, total)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s in the repository is damaged: put the blob into the bundle, and publish again", f.Name)
		}
	}
	for _, f := range p.plan.Blobs {
		if err := p.putBlob(ctx, f, total); err != nil {
			return err
		}
	}
	return nil
}

func (p *publication) putBlob(ctx context.Context, f bundle.File, total int64) error {
	before := p.done
	if ok, err := p.holds(ctx, f, total); err != nil || ok {
		return err
	}
	p.done = before
	src, err := p.bundle.Blob(f.SHA256)
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.From, err)
	}
	defer src.Close()
	err = p.change(f.Name, func() error {
		dst, err := p.disk.Create(p.path(f.Name), fileMode)
		if err != nil {
			return err
		}
		defer dst.Abort()
		if err := bundle.CopyBlob(dst, p.meter(ctx, src, total), f.Blob); err != nil {
			return err
		}
		return dst.Commit()
	})
	if errors.Is(err, bundle.ErrAltered) {
		return verdict(bundle.Problems{{Kind: bundle.Refused, File: f.From, What: err.Error(), Do: "make the bundle again with fairlead-sign"}})
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", f.Name, err)
	}
	p.result.Blobs++
	p.result.Bytes += f.Length
	return nil
}

// holds tells whether the repository has the blob, whole.
func (p *publication) holds(ctx context.Context, f bundle.File, total int64) (bool, error) {
	file, err := os.Open(p.path(f.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", f.Name, err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() != f.Length {
		return false, err
	}
	err = bundle.CopyBlob(io.Discard, p.meter(ctx, file, total), f.Blob)
	if errors.Is(err, bundle.ErrAltered) {
		p.log.Warn("a blob in the repository is damaged", "name", f.Name)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("comparing %s: %w", f.Name, err)
	}
	return true, nil
}

// meter reads on while ctx lives, and tells how far it has come.
func (p *publication) meter(ctx context.Context, r io.Reader, total int64) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(b)
		p.done += int64(n)
		if p.opts.Progress != nil {
			p.opts.Progress(min(p.done, total), total)
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
