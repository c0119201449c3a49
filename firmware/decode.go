package firmware

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Decoder turns stored bytes into image bytes, frame by frame, in memory of
// about one frame. It is for one goroutine at a time.
type Decoder struct {
	frameSize int
	zstd      *zstd.Decoder
}

// NewDecoder makes a decoder for artifacts of the given frame size in bytes.
func NewDecoder(frameSize int) (*Decoder, error) {
	if !validFrameSize(frameSize) {
		return nil, fmt.Errorf("decode artifact: frame size %d is not a power of two from %d to %d", frameSize, MinFrameSize, MaxFrameSize)
	}
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(frameSize)),
		zstd.WithDecoderMaxMemory(uint64(frameSize)),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("decode artifact: %w", err)
	}
	return &Decoder{frameSize: frameSize, zstd: z}, nil
}

// Close frees the decoder, which must not be used after it.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode returns the image bytes of frame f, which comes from the artifact's
// head, given its stored bytes. These are compared with the head before they
// are decoded, and the image bytes before they are returned; what differs is
// ErrCorrupt. The result lies in dst if it has the room; stored and dst must
// not overlap. After an error what dst held is lost.
func (d *Decoder) Decode(dst []byte, f Frame, stored []byte) ([]byte, error) {
	if f.Length < 1 || f.Length > int64(d.frameSize) {
		return nil, corrupt("frame %d: length %d is not within 1 and %d", f.Index, f.Length, d.frameSize)
	}
	if int64(len(stored)) != f.Stored {
		return nil, corrupt("frame %d: %d stored bytes, want %d", f.Index, len(stored), f.Stored)
	}
	if f.Kind != FrameZero && Sum(stored) != f.StoredSHA256 {
		return nil, corrupt("frame %d: its stored bytes are not those of the index", f.Index)
	}
	n := int(f.Length)
	if cap(dst) < n {
		dst = make([]byte, n)
	}
	switch f.Kind {
	case FrameZero:
		clear(dst[:n])
		return dst[:n], nil
	case FrameRaw:
		if len(stored) != n || f.ImageSHA256 != f.StoredSHA256 {
			return nil, corrupt("frame %d: raw, but stored and image bytes differ", f.Index)
		}
		return dst[:copy(dst[:n], stored)], nil
	case FrameZstd:
		return d.expand(dst[:0:n], f, stored)
	}
	return nil, corrupt("frame %d: kind %d is unknown", f.Index, f.Kind)
}

func (d *Decoder) expand(dst []byte, f Frame, stored []byte) ([]byte, error) {
	out, err := d.Expand(dst, stored, f.Length)
	if err != nil {
		return nil, fmt.Errorf("frame %d: %w", f.Index, err)
	}
	if Sum(out) != f.ImageSHA256 {
		return nil, corrupt("frame %d: its image bytes are not those of the index", f.Index)
	}
	return out, nil
}

// Expand decodes one Zstandard frame of length bytes, of the only form that artifacts use, whose bytes the caller has
// verified; ErrCorrupt for anything else. The result lies in dst if it has the room.
func (d *Decoder) Expand(dst, stored []byte, length int64) ([]byte, error) {
	if err := checkZstd(stored, length, d.frameSize); err != nil {
		return nil, err
	}
	out, err := d.zstd.DecodeAll(stored, dst)
	if err != nil {
		return nil, corrupt("%v", err)
	}
	if int64(len(out)) != length {
		return nil, corrupt("Zstandard frame of %d bytes, want %d", len(out), length)
	}
	return out, nil
}

// checkZstd reports why stored is not one Zstandard frame (RFC 8878, 3.1.1) of
// the only form that artifacts use, without decoding it.
func checkZstd(stored []byte, length int64, frameSize int) error {
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return corrupt("not a Zstandard frame: %v", err)
	}
	// A frame to be skipped, and one without a size, have the size 0 here.
	if h.FrameContentSize != uint64(length) {
		return corrupt("Zstandard frame of %d bytes, want %d", h.FrameContentSize, length)
	}
	// The low bits of the frame header descriptor: unused, reserved, checksum,
	// dictionary id.
	if stored[4]&0x1f != 0 {
		return corrupt("Zstandard frame with a checksum or a dictionary")
	}
	if !h.SingleSegment && h.WindowSize > uint64(frameSize) {
		return corrupt("Zstandard frame with a window of %d bytes, at most %d are allowed", h.WindowSize, frameSize)
	}
	return checkBlocks(stored[h.HeaderSize:])
}

// checkBlocks makes sure that the last block of a Zstandard frame ends with b:
// no second frame, no padding.
func checkBlocks(b []byte) error {
	for last := false; !last; {
		if len(b) < 3 {
			return corrupt("Zstandard frame is cut off")
		}
		header := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		last = header&1 != 0
		size := header >> 3
		switch header >> 1 & 3 {
		case 1: // one byte, repeated
			size = 1
		case 3:
			return corrupt("Zstandard block of a reserved kind")
		}
		b = b[3:]
		if len(b) < size {
			return corrupt("Zstandard frame is cut off")
		}
		b = b[size:]
	}
	if len(b) != 0 {
		return corrupt("%d bytes after the Zstandard frame", len(b))
	}
	return nil
}
