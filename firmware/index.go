package firmware

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

func (h *Head) parseIndex(b []byte, lastKind byte) error {
	r := indexReader{rest: b, lastKind: lastKind}
	total := frameCount(h.imageLength, h.frameSize)
	h.frames = make([]Frame, 0, total)
	offset := h.headLength
	wasZero := false
	for len(h.frames) < total {
		first := len(h.frames)
		count, f, err := r.entry(frameLength(first, h.imageLength, h.frameSize))
		if err != nil {
			return fmt.Errorf("frame %d: %w", first, err)
		}
		isZero := f.Kind == FrameZero
		if count > uint64(total-first) || (wasZero && isZero) {
			return corrupt("frame %d: run of %d zero frames, of %d frames, may not stand here", first, count, total)
		}
		wasZero = isZero
		for range count {
			f.Offset = offset
			h.add(f)
		}
		offset += f.Stored
	}
	if len(r.rest) != 0 {
		return corrupt("%d bytes after the end of the index", len(r.rest))
	}
	if offset != h.artifactLength {
		return corrupt("its frames end at %d, its header says %d", offset, uint64(h.artifactLength))
	}
	return nil
}

// add appends a frame, setting where it lies in the image.
func (h *Head) add(f Frame) {
	f.Index = len(h.frames)
	f.At = int64(f.Index) * int64(h.frameSize)
	f.Length = frameLength(f.Index, h.imageLength, h.frameSize)
	h.frames = append(h.frames, f)
}

// indexReader takes entries from the front of an index.
type indexReader struct {
	rest     []byte
	lastKind byte // the highest kind of frames that may stand here
}

// entry reads what is said of one frame of the given length, or of a run of
// count frames of zeros.
func (r *indexReader) entry(length int64) (count uint64, f Frame, err error) {
	kind, err := r.take(1)
	if err != nil {
		return 0, f, err
	}
	f.Kind = kind[0]
	if f.Kind > r.lastKind {
		return 0, f, corrupt("kind %d is unknown", f.Kind)
	}
	switch f.Kind {
	case FrameZero:
		count, err := r.uvarint()
		if err == nil && count == 0 {
			err = corrupt("empty run of zeros")
		}
		return count, f, err
	case FrameZstd, FrameDelta:
		stored, err := r.uvarint()
		if err == nil && (stored == 0 || stored >= uint64(length)) {
			err = corrupt("%d stored bytes for %d", stored, length)
		}
		f.Stored = int64(stored)
		return 1, f, r.digests(err, &f.StoredSHA256, &f.ImageSHA256)
	default: // FrameRaw
		f.Stored = length
		err := r.digests(nil, &f.StoredSHA256)
		f.ImageSHA256 = f.StoredSHA256
		return 1, f, err
	}
}

func (r *indexReader) digests(err error, digests ...*Digest) error {
	for _, d := range digests {
		var b []byte
		if err == nil {
			b, err = r.take(len(d))
			copy(d[:], b)
		}
	}
	return err
}

func (r *indexReader) take(n int) ([]byte, error) {
	if len(r.rest) < n {
		return nil, corrupt("index cut off")
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, nil
}

// uvarint reads an integer in its shortest form.
func (r *indexReader) uvarint() (uint64, error) {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || (n > 1 && r.rest[n-1] == 0) {
		return 0, corrupt("index holds a broken integer")
	}
	r.rest = r.rest[n:]
	return v, nil
}

// Encode prints header and index: for what ParseHead returned, the same bytes.
func (h *Head) Encode() []byte {
	index := h.encodeIndex()
	f := h.form()
	b := make([]byte, f.header, f.header+len(index))
	copy(b, f.magic)
	b[8], b[9], b[10] = formatVersion, hashSHA256, compressZstd
	b[11] = byte(bits.TrailingZeros(uint(h.frameSize)))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(index)))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.imageLength))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.artifactLength))
	if f.header == PatchHeaderLength {
		binary.LittleEndian.PutUint64(b[32:], uint64(h.from.Length))
		copy(b[40:], h.from.SHA256[:])
	}
	return append(b, index...)
}

func (h *Head) form() form {
	if h.from.Length > 0 {
		return patchForm
	}
	return artifactForm
}

func (h *Head) encodeIndex() []byte {
	var b []byte
	for i := 0; i < len(h.frames); i++ {
		f := h.frames[i]
		b = append(b, f.Kind)
		switch f.Kind {
		case FrameZero:
			run := 1
			for i+1 < len(h.frames) && h.frames[i+1].Kind == FrameZero {
				run++
				i++
			}
			b = binary.AppendUvarint(b, uint64(run))
		case FrameZstd, FrameDelta:
			b = binary.AppendUvarint(b, uint64(f.Stored))
			b = append(append(b, f.StoredSHA256[:]...), f.ImageSHA256[:]...)
		case FrameRaw:
			b = append(b, f.StoredSHA256[:]...)
		}
	}
	return b
}

// layOut sets the lengths and offsets that follow from the frames.
func (h *Head) layOut() {
	h.headLength = int64(h.form().header) + int64(len(h.encodeIndex()))
	offset := h.headLength
	for i := range h.frames {
		h.frames[i].Offset = offset
		offset += h.frames[i].Stored
	}
	h.artifactLength = offset
}
