package client

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
)

// Source gives access to the files of a repository, which nobody needs to
// trust. Names are described in the package documentation.
//
// Open returns the length bytes of name from offset on; a negative length means
// to the end. The reader fails with an error that wraps io.ErrUnexpectedEOF if
// fewer bytes come than a positive length or the transport promised. An absent
// file is an error that wraps fs.ErrNotExist. The caller closes the reader;
// ctx ends it too. Sources may be used by several goroutines at once.
type Source interface {
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
}

// FSSource reads a repository folder or, given a *zip.Reader, a packed one:
// there ranges are as cheap as in a folder if files are stored, not deflated.
func FSSource(fsys fs.FS) Source {
	return fsSource{fsys}
}

type fsSource struct {
	fsys fs.FS
}

func (s fsSource) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail(ErrUnavailable, "", err)
	}
	plain, err := url.PathUnescape(name)
	if err != nil || !fs.ValidPath(plain) || offset < 0 {
		return nil, failf(ErrUnavailable, "", "open %q: %w", name, fs.ErrNotExist)
	}
	r, err := s.at(plain, offset)
	if err != nil {
		return nil, failf(ErrUnavailable, "", "open %s: %w", name, err)
	}
	if length < 0 {
		return r, nil
	}
	return &exactReader{ReadCloser: r, left: length}, nil
}

// at opens a file and moves to offset.
func (s fsSource) at(name string, offset int64) (io.ReadCloser, error) {
	f, err := s.open(name)
	if err != nil || offset == 0 {
		return f, err
	}
	if seeker, ok := f.(io.Seeker); ok {
		_, err = seeker.Seek(offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, offset)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("move to byte %d: %w", offset, err)
	}
	return f, nil
}

func (s fsSource) open(name string) (io.ReadCloser, error) {
	if r, err := openStored(s.fsys, name); r != nil || err != nil {
		return r, err
	}
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file: %w", path.Base(name), fs.ErrNotExist)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openStored opens a file that lies unpacked in a zip, so that it can seek. The
// zip's own checksum is not looked at: whoever reads has a better one.
func openStored(fsys fs.FS, name string) (io.ReadCloser, error) {
	var z *zip.Reader
	switch r := fsys.(type) {
	case *zip.Reader:
		z = r
	case *zip.ReadCloser:
		z = &r.Reader
	default:
		return nil, nil
	}
	for _, f := range z.File {
		if f.Name != name || f.Method != zip.Store {
			continue
		}
		raw, err := f.OpenRaw()
		if err != nil {
			return nil, err
		}
		if seeker, ok := raw.(io.ReadSeeker); ok {
			return nopCloser{seeker}, nil
		}
	}
	return nil, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// exactReader gives left bytes and no more, and says so if they do not come.
type exactReader struct {
	io.ReadCloser
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = failf(ErrUnavailable, "", "%d bytes short: %w", r.left, io.ErrUnexpectedEOF)
	}
	return n, err
}
