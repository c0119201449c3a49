package firmware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware/durable"
)

// EncodeFile makes the artifact of an image, a file or a block device, whose
// holes it does not read. The artifact is in place, durable, when EncodeFile
// returns without error; else what was at artifactPath before is, and nothing
// beside it. The folder needs room for the artifact twice.
func EncodeFile(ctx context.Context, imagePath, artifactPath string, o EncodeOptions) (Encoded, error) {
	image, err := openImage(imagePath, artifactPath)
	if err != nil {
		return Encoded{}, err
	}
	defer image.Close()
	spool, err := durable.Spool(filepath.Dir(artifactPath))
	if err != nil {
		return Encoded{}, err
	}
	defer spool.Close()
	out, err := durable.Create(artifactPath, 0o644)
	if err != nil {
		return Encoded{}, err
	}
	defer out.Abort()
	e, err := encode(ctx, out, image.File, image.size, image.nextData, spool, o)
	if err != nil {
		return Encoded{}, fmt.Errorf("%s: %w", imagePath, err)
	}
	if err := image.unchanged(); err != nil {
		return Encoded{}, err
	}
	return e, out.Commit()
}

// imageFile is an image to be encoded.
type imageFile struct {
	*os.File
	info fs.FileInfo
	size int64
}

func openImage(path, artifactPath string) (*imageFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	image, err := examine(f, artifactPath)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open image %s: %w", path, err)
	}
	return image, nil
}

func examine(f *os.File, artifactPath string) (*imageFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if t := info.Mode().Type(); t != 0 && t != fs.ModeDevice {
		return nil, errors.New("it is neither a file nor a block device")
	}
	if err := refuseSame(info, artifactPath); err != nil {
		return nil, err
	}
	// Unlike Stat, Seek knows the size of a block device.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("find its size: %w", err)
	}
	return &imageFile{File: f, info: info, size: size}, nil
}

// refuseSame keeps an output from taking the place of its own input.
func refuseSame(input fs.FileInfo, outputPath string) error {
	there, err := os.Stat(outputPath)
	if err == nil && os.SameFile(input, there) {
		return errors.New("it is also the output; choose another name for that")
	}
	return nil
}

// nextData is the first offset, not below offset, that is not in a hole. Where
// holes cannot be told, on devices and some file systems, all is data.
func (f *imageFile) nextData(offset int64) int64 {
	data, err := f.Seek(offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return f.size
	}
	if err != nil {
		return offset
	}
	return data
}

// unchanged fails if somebody wrote to the image meanwhile: the artifact would
// hold a mixture that never existed.
func (f *imageFile) unchanged() error {
	now, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at image again: %w", err)
	}
	if now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()) {
		return fmt.Errorf("encode image: %s changed while it was read; encode a copy that nobody writes to", f.Name())
	}
	return nil
}

// DecodeFile writes the image of an artifact to a file, leaving holes where it
// is zero. The image is in place, durable, when DecodeFile returns without
// error; else what was at imagePath before is, and nothing beside it. Every
// frame is verified against the artifact's own head; whether the head is
// genuine only a manifest can say. progress may be nil.
func DecodeFile(ctx context.Context, artifactPath, imagePath string, progress func(done, total int64)) error {
	in, err := os.Open(artifactPath)
	if err != nil {
		return fmt.Errorf("open artifact: %w", err)
	}
	defer in.Close()
	head, err := readWholeHead(in, imagePath)
	if err != nil {
		return fmt.Errorf("%s: %w", artifactPath, err)
	}
	out, err := durable.Create(imagePath, 0o644)
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := out.Truncate(head.ImageLength()); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if err := decodeFrames(ctx, in, out, head, progress); err != nil {
		return fmt.Errorf("%s: %w", artifactPath, err)
	}
	return out.Commit()
}

// readWholeHead reads the head of an artifact that must be of the length that
// the head says.
func readWholeHead(f *os.File, imagePath string) (*Head, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := refuseSame(info, imagePath); err != nil {
		return nil, err
	}
	head, err := ReadHead(f)
	if err != nil {
		return nil, err
	}
	if info.Size() != head.ArtifactLength() {
		return nil, corrupt("%d bytes long, its header says %d", info.Size(), head.ArtifactLength())
	}
	return head, nil
}

func decodeFrames(ctx context.Context, r io.ReaderAt, w io.WriterAt, head *Head, progress func(done, total int64)) error {
	d, err := NewDecoder(head.FrameSize())
	if err != nil {
		return err
	}
	defer d.Close()
	stored, image := make([]byte, head.FrameSize()), make([]byte, head.FrameSize())
	for i := range head.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := head.Frame(i)
		if f.Kind != FrameZero {
			if err := decodeFrame(d, r, w, f, stored[:f.Stored], image); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(f.At+f.Length, head.ImageLength())
		}
	}
	return nil
}

func decodeFrame(d *Decoder, r io.ReaderAt, w io.WriterAt, f Frame, stored, image []byte) error {
	if n, err := r.ReadAt(stored, f.Offset); n < len(stored) {
		return fmt.Errorf("read frame %d: %w", f.Index, err)
	}
	image, err := d.Decode(image, f, stored)
	if err != nil {
		return err
	}
	if _, err := w.WriteAt(image, f.At); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}
