package delta

import (
	"fmt"
	"io"

	"github.com/fairlead/fairlead/firmware"
)

// Decoder turns stored bytes into image bytes, frame by frame, in memory of about a megabyte beside the frame. It is for
// one goroutine at a time.
type Decoder struct {
	// Shared is what other decoders have made; nil decodes each frame.
	Shared *Shared

	plain *firmware.Decoder
	codec *codec
}

// NewDecoder makes a decoder for patches of the given frame size in bytes.
func NewDecoder(frameSize int) (*Decoder, error) {
	plain, err := firmware.NewDecoder(frameSize)
	if err != nil {
		return nil, fmt.Errorf("decode patch: %w", err)
	}
	return &Decoder{plain: plain}, nil
}

// Close frees the decoder, which must not be used after it.
func (d *Decoder) Close() { d.plain.Close() }

// Decode returns the image bytes of frame f, which comes from a patch's head, given its stored bytes and the base, which
// has baseLength bytes. The stored bytes are compared with the head before they are decoded; what differs there is
// firmware.ErrCorrupt. What goes wrong after that is ErrBase: the stored bytes are what the maker of the patch pinned, so
// the base is not, or cannot be read. The image bytes are compared before they are returned. The result lies in dst if it
// has the room, or in Shared, and is not to be written to then; stored and dst must not overlap. What dst held is lost.
func (d *Decoder) Decode(dst []byte, f firmware.Frame, stored []byte, base io.ReaderAt, baseLength int64) ([]byte, error) {
	if f.Kind != firmware.FrameDelta {
		return d.plain.Decode(dst, f, stored)
	}
	if f.Length < 1 || f.Length > firmware.MaxFrameSize || int64(len(stored)) != f.Stored {
		return nil, fmt.Errorf("patch: frame %d: %d stored bytes for %d: %w", f.Index, len(stored), f.Length, firmware.ErrCorrupt)
	}
	if firmware.Sum(stored) != f.StoredSHA256 {
		return nil, fmt.Errorf("patch: frame %d: its stored bytes are not those of the index: %w", f.Index, firmware.ErrCorrupt)
	}
	n := int(f.Length)
	if cap(dst) < n {
		dst = make([]byte, n)
	}
	image, err := d.make(dst[:n], f, stored, base, baseLength)
	if err != nil {
		return nil, fmt.Errorf("patch: frame %d: %w", f.Index, err)
	}
	return image, nil
}

// make makes a frame. What others have made is taken if it is what this base makes, and is compared with the head no less.
func (d *Decoder) make(room []byte, f firmware.Frame, stored []byte, base io.ReaderAt, baseLength int64) ([]byte, error) {
	key := keyOf(f, baseLength)
	frame := d.Shared.take(room, key, base)
	taken := frame != nil
	base, read := d.Shared.watch(base)
	if !taken {
		if d.codec == nil {
			d.codec = newCodec()
		}
		frame = room
		if err := d.codec.decode(frame, stored, f.At, base, baseLength); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBase, err)
		}
	}
	if firmware.Sum(frame) != f.ImageSHA256 {
		return nil, ErrBase
	}
	if !taken {
		d.Shared.keep(key, frame, read.pieces)
	}
	return frame, nil
}
