package firmware

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Coder makes the Zstandard frame (RFC 8878, 3.1.1) of a frame of an image. It is for one goroutine at a time.
type Coder interface {
	// Code returns the Zstandard frame, which holds until the next call. It may be longer than the image.
	Code(ctx context.Context, image []byte) ([]byte, error)
	Close()
}

// Compressor makes Zstandard frames of the form that artifacts, patches and chunks use. It is for one goroutine at a time.
type Compressor struct {
	zstd *zstd.Encoder
	out  []byte
}

// NewCompressor makes a compressor for frames of up to frameSize bytes. It is set so that its output depends on its input
// alone. The best level costs about three times the time of the one below it, on a machine of the host's, once per
// release, and saves every device 7 % of the bytes.
func NewCompressor(frameSize int) (*Compressor, error) {
	return newCompressor(frameSize, zstd.SpeedBestCompression)
}

// NewQuickCompressor makes one of the level that takes the least time, for frames that are not worth more.
func NewQuickCompressor(frameSize int) (*Compressor, error) {
	return newCompressor(frameSize, zstd.SpeedFastest)
}

func newCompressor(frameSize int, level zstd.EncoderLevel) (*Compressor, error) {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(level),
		zstd.WithWindowSize(frameSize),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("compress frames of %d bytes: %w", frameSize, err)
	}
	return &Compressor{zstd: z}, nil
}

// Compress returns the Zstandard frame of an image's frame, which may be longer than that. It holds until the next call.
func (c *Compressor) Compress(image []byte) []byte {
	c.out = c.zstd.EncodeAll(image, c.out[:0])
	return c.out
}

// Code is Compress.
func (c *Compressor) Code(_ context.Context, image []byte) ([]byte, error) {
	return c.Compress(image), nil
}

// Close frees the compressor, which must not be used after it.
func (c *Compressor) Close() { _ = c.zstd.Close() }

// newCoder is the coder of one worker.
func (p *pipeline) newCoder() (Coder, error) {
	if p.coder == nil {
		return NewCompressor(p.frameSize)
	}
	other, err := p.coder()
	if err != nil {
		return nil, err
	}
	d, err := NewDecoder(p.frameSize)
	if err != nil {
		other.Close()
		return nil, err
	}
	return &proved{Coder: other, decoder: d, room: make([]byte, 0, p.frameSize)}, nil
}

// proved is a coder of somebody else's, of whose frames only those are taken that a device will decode to the same image.
type proved struct {
	Coder
	decoder *Decoder
	room    []byte
}

func (c *proved) Code(ctx context.Context, image []byte) ([]byte, error) {
	out, err := c.Coder.Code(ctx, image)
	if err != nil || len(out) >= len(image) {
		return out, err // such a frame is stored as it is
	}
	back, err := c.decoder.Expand(c.room, out, int64(len(image)))
	if err == nil && !bytes.Equal(back, image) {
		err = errors.New("other bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("what the compressor made does not decode to the image: %v; do without it", err) // no artifact is corrupt
	}
	return out, nil
}

func (c *proved) Close() {
	c.decoder.Close()
	c.Coder.Close()
}
