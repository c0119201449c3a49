package chunk

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
)

// CreateFile makes the chunks of an image, a file or a block device. They are in place, durable, when CreateFile returns
// without error; else what was at path before is, and nothing beside it. The folder needs room for them twice. Whether the
// image changed meanwhile Created.Image tells.
func CreateFile(ctx context.Context, imagePath, path string, o Options) (Created, error) {
	image, err := os.Open(imagePath)
	if err != nil {
		return Created{}, fmt.Errorf("open image: %w", err)
	}
	defer image.Close()
	size, err := image.Seek(0, io.SeekEnd) // which knows the size of a block device, too
	if err != nil {
		return Created{}, fmt.Errorf("find the size of %s: %w", imagePath, err)
	}
	spool, err := durable.Spool(filepath.Dir(path))
	if err != nil {
		return Created{}, err
	}
	defer spool.Close()
	out, err := durable.Create(path, 0o644)
	if err != nil {
		return Created{}, err
	}
	defer out.Abort()
	c, err := Create(ctx, out, image, size, spool, o)
	if err != nil {
		return Created{}, fmt.Errorf("%s: %w", imagePath, err)
	}
	return c, out.Commit()
}

// Unpack reads a file of chunks from its start and writes its image to w. Every chunk is compared with the index; whether
// that is genuine only a manifest can say. What is not a file of chunks, or not whole, is firmware.ErrFormat or
// firmware.ErrCorrupt.
func Unpack(ctx context.Context, w io.Writer, r io.Reader, progress func(done, total int64)) (*Index, error) {
	x, err := Read(r)
	if err != nil {
		return nil, err
	}
	d, err := firmware.NewDecoder(max(x.Size(), firmware.MinFrameSize))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	stored, image := make([]byte, x.Size()), make([]byte, x.Size())
	for i := range x.Len() {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		c := x.Chunk(i)
		if err := unpackOne(x, d, image[:c.Length], i, r, stored[:c.Stored]); err != nil {
			return nil, err
		}
		if _, err := w.Write(image[:c.Length]); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(c.At+c.Length, x.ImageLength())
		}
	}
	return x, nil
}

func unpackOne(x *Index, d *firmware.Decoder, image []byte, i int, r io.Reader, stored []byte) error {
	if len(stored) == 0 {
		clear(image)
		return nil
	}
	if _, err := io.ReadFull(r, stored); err != nil {
		return readError(err)
	}
	if err := x.Expand(d, image, i, stored); err != nil {
		return err
	}
	if Hash(image) != x.Chunk(i).Find {
		return corrupt("chunk %d: its bytes have another hash than the index says", i)
	}
	return nil
}
