package firmware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

const (
	magic         = "\x89FLA\r\n\x1a\n"
	formatVersion = 1
	hashSHA256    = 1
	compressZstd  = 1
)

// Kinds of frames.
const (
	FrameZero byte = 0 // zeros; nothing is stored
	FrameZstd byte = 1 // stored compressed
	FrameRaw  byte = 2 // stored as it is
)

// Frame says where a frame lies and what its bytes are.
type Frame struct {
	Index          int    // from 0
	Kind           byte   // FrameZero, FrameZstd or FrameRaw
	Offset, Stored int64  // of the stored bytes within the artifact; Stored is 0 for FrameZero
	At, Length     int64  // of the image bytes within the image; Length is 1 or more
	StoredSHA256   Digest // unset for FrameZero
	ImageSHA256    Digest
}

// Head is a valid header and index.
type Head struct {
	frameSize      int
	imageLength    int64
	artifactLength int64
	headLength     int64
	frames         []Frame
	zeroFull       func() Digest
	zeroTail       func() Digest
}

// Len is the number of frames.
func (h *Head) Len() int { return len(h.frames) }

// FrameSize is the length in bytes of every frame but perhaps the last.
func (h *Head) FrameSize() int { return h.frameSize }

// ImageLength is in bytes.
func (h *Head) ImageLength() int64 { return h.imageLength }

// ArtifactLength is that of the whole file in bytes.
func (h *Head) ArtifactLength() int64 { return h.artifactLength }

// HeadLength is that of header and index in bytes: the offset of the first
// stored frame.
func (h *Head) HeadLength() int64 { return h.headLength }

// Frame returns frame i, from 0 to below Len.
func (h *Head) Frame(i int) Frame {
	f := h.frames[i]
	if f.Kind != FrameZero {
		return f
	}
	if f.Length == int64(h.frameSize) {
		f.ImageSHA256 = h.zeroFull()
	} else {
		f.ImageSHA256 = h.zeroTail()
	}
	return f
}

// ReadHead reads header and index from the start of an artifact, and not a
// byte more. Its errors are those of ParseHead and of r.
func ReadHead(r io.Reader) (*Head, error) {
	b, err := readUpTo(r, nil, HeaderLength)
	if err != nil {
		return nil, fmt.Errorf("read artifact header: %w", err)
	}
	_, index, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	b, err = readUpTo(r, b, index)
	if err != nil {
		return nil, fmt.Errorf("read artifact index: %w", err)
	}
	return ParseHead(b)
}

// readUpTo appends n bytes of r to b, or fewer at the end of r.
func readUpTo(r io.Reader, b []byte, n int) ([]byte, error) {
	more := make([]byte, n)
	got, err := io.ReadFull(r, more)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return append(b, more[:got]...), err
}

// ParseHead reads header and index; b holds both and nothing else. It fails
// with ErrFormat if b is not the start of an artifact of a known format, and
// with ErrCorrupt if it is one that contradicts itself or is not complete.
func ParseHead(b []byte) (*Head, error) {
	h, index, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	if len(b) != HeaderLength+index {
		return nil, corrupt("head of %d bytes, its header says %d", len(b), HeaderLength+index)
	}
	if err := h.parseIndex(b[HeaderLength:]); err != nil {
		return nil, err
	}
	return h, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("artifact: "+format+": %w", append(args, ErrCorrupt)...)
}

func parseHeader(b []byte) (h *Head, index int, err error) {
	if len(b) < HeaderLength {
		if !bytes.HasPrefix([]byte(magic), b[:min(len(b), len(magic))]) {
			return nil, 0, fmt.Errorf("artifact: %w", ErrFormat)
		}
		return nil, 0, corrupt("cut off after %d bytes", len(b))
	}
	if string(b[:8]) != magic {
		return nil, 0, fmt.Errorf("artifact: %w", ErrFormat)
	}
	if b[8] != formatVersion || b[9] != hashSHA256 || b[10] != compressZstd {
		return nil, 0, fmt.Errorf("artifact of format %d, hash %d, compression %d; a newer Fairlead may know it: %w",
			b[8], b[9], b[10], ErrFormat)
	}
	return parseLengths(b)
}

// parseLengths reads the fields of a header that say how long things are. The
// length of the artifact is compared with the index later.
func parseLengths(b []byte) (h *Head, index int, err error) {
	frameSize := 1 << b[11]
	if !validFrameSize(frameSize) {
		return nil, 0, corrupt("frame size 2^%d", b[11])
	}
	indexLength := binary.LittleEndian.Uint32(b[12:])
	if indexLength > MaxHead-HeaderLength {
		return nil, 0, corrupt("index of %d bytes, at most %d are allowed", indexLength, MaxHead-HeaderLength)
	}
	image := binary.LittleEndian.Uint64(b[16:])
	if image > MaxFrames*uint64(frameSize) {
		return nil, 0, corrupt("image of %d bytes, at most %d frames of %d are allowed", image, MaxFrames, frameSize)
	}
	h = newHead(frameSize, int64(image))
	h.headLength = HeaderLength + int64(indexLength)
	h.artifactLength = int64(binary.LittleEndian.Uint64(b[24:]))
	return h, int(indexLength), nil
}

func newHead(frameSize int, imageLength int64) *Head {
	return &Head{
		frameSize:   frameSize,
		imageLength: imageLength,
		zeroFull:    sync.OnceValue(func() Digest { return Sum(make([]byte, frameSize)) }),
		zeroTail:    sync.OnceValue(func() Digest { return Sum(make([]byte, imageLength%int64(frameSize))) }),
	}
}

func validFrameSize(n int) bool {
	return n >= MinFrameSize && n <= MaxFrameSize && bits.OnesCount(uint(n)) == 1
}

// frameCount is the number of frames of an image of n bytes.
func frameCount(n int64, frameSize int) int {
	frames := n / int64(frameSize)
	if n%int64(frameSize) != 0 {
		frames++
	}
	return int(frames)
}

// frameLength is the length in bytes of frame i of an image of n bytes.
func frameLength(i int, n int64, frameSize int) int64 {
	return min(int64(frameSize), n-int64(i)*int64(frameSize))
}

func (h *Head) parseIndex(b []byte) error {
	r := indexReader{rest: b}
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
		return corrupt("its frames end at %d, its header says %d", offset, h.artifactLength)
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
	rest []byte
}

// entry reads what is said of one frame of the given length, or of a run of
// count frames of zeros.
func (r *indexReader) entry(length int64) (count uint64, f Frame, err error) {
	kind, err := r.take(1)
	if err != nil {
		return 0, f, err
	}
	f.Kind = kind[0]
	switch f.Kind {
	case FrameZero:
		count, err := r.uvarint()
		if err == nil && count == 0 {
			err = corrupt("empty run of zeros")
		}
		return count, f, err
	case FrameZstd:
		stored, err := r.uvarint()
		if err == nil && (stored == 0 || stored >= uint64(length)) {
			err = corrupt("%d stored bytes for %d", stored, length)
		}
		f.Stored = int64(stored)
		return 1, f, r.digests(err, &f.StoredSHA256, &f.ImageSHA256)
	case FrameRaw:
		f.Stored = length
		err := r.digests(nil, &f.StoredSHA256)
		f.ImageSHA256 = f.StoredSHA256
		return 1, f, err
	}
	return 0, f, corrupt("kind %d is unknown", f.Kind)
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
	b := make([]byte, HeaderLength, HeaderLength+len(index))
	copy(b, magic)
	b[8], b[9], b[10] = formatVersion, hashSHA256, compressZstd
	b[11] = byte(bits.TrailingZeros(uint(h.frameSize)))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(index)))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.imageLength))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.artifactLength))
	return append(b, index...)
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
		case FrameZstd:
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
	h.headLength = HeaderLength + int64(len(h.encodeIndex()))
	offset := h.headLength
	for i := range h.frames {
		h.frames[i].Offset = offset
		offset += h.frames[i].Stored
	}
	h.artifactLength = offset
}
