package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
)

// unpackBlob makes an image of an artifact, both verified, as a sparse file in dir that has no name and is gone when it
// is closed, whatever closes it. ErrRefused: the blob is not the artifact of that image.
func unpackBlob(ctx context.Context, blob string, artifact firmware.Framed, image firmware.Blob, dir string, progress func(done, total int64)) (*os.File, error) {
	f, err := durable.Spool(dir)
	if err != nil {
		return nil, err
	}
	got, err := readArtifact(ctx, blob, &sparse{File: f}, progress)
	if err == nil && (got.file != artifact.Blob || got.image != image) {
		err = refuse("%s does not unpack to the image that its manifest names", blob)
	}
	if err == nil {
		err = f.Truncate(image.Length) // zeros at its end were not written
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// pathOf is a path of an open file, whether it has a name or not.
func pathOf(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// sparse writes to an empty file from its start, and leaves holes where pieces are zero.
type sparse struct {
	*os.File
	at int64
}

func (s *sparse) Write(b []byte) (int, error) {
	n, err := len(b), error(nil)
	if n > 0 && (b[0] != 0 || !bytes.Equal(b[1:], b[:n-1])) {
		n, err = s.WriteAt(b, s.at)
	}
	s.at += int64(n)
	return n, err
}

// sumFile reads a file or block device to its end.
func sumFile(ctx context.Context, path string, progress func(done, total int64)) (firmware.Blob, error) {
	f, err := os.Open(path)
	if err != nil {
		return firmware.Blob{}, err
	}
	defer f.Close()
	total, err := f.Seek(0, io.SeekEnd) // unlike Stat, it knows the size of a block device
	if err != nil {
		return firmware.Blob{}, fmt.Errorf("finding the size of %s: %w", path, err)
	}
	sum, piece := sha256.New(), make([]byte, 1<<20)
	for done, r := int64(0), io.NewSectionReader(f, 0, total); ; {
		n, err := r.Read(piece)
		sum.Write(piece[:n])
		done += int64(n)
		if progress != nil {
			progress(done, total)
		}
		switch {
		case ctx.Err() != nil:
			return firmware.Blob{}, ctx.Err()
		case err == io.EOF:
			return firmware.Blob{Length: done, SHA256: firmware.Digest(sum.Sum(nil))}, nil
		case err != nil:
			return firmware.Blob{}, fmt.Errorf("reading %s: %w", path, err)
		}
	}
}
