package firmware

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

const (
	magic         = "\x89FLA\r\n\x1a\n"
	patchMagic    = "\x89FLP\r\n\x1a\n"
	formatVersion = 1
	hashSHA256    = 1
	compressZstd  = 1
)

// Kinds of frames.
const (
	FrameZero byte = 0 // zeros; nothing is stored
	FrameZstd byte = 1 // stored compressed
	FrameRaw  byte = 2 // stored as it is
	// FrameDelta is stored as what package delta makes of it and the base; only in patches.
	FrameDelta byte = 3
)

// Frame says where a frame lies and what its bytes are.
type Frame struct {
	Index          int    // from 0
	Kind           byte   // FrameZero, FrameZstd, FrameRaw or FrameDelta
	Offset, Stored int64  // of the stored bytes within the artifact; Stored is 0 for FrameZero
	At, Length     int64  // of the image bytes within the image; Length is 1 or more
	StoredSHA256   Digest // unset for FrameZero
	ImageSHA256    Digest
}

// Head is a valid header and index, of an artifact or of a patch.
type Head struct {
	from           Blob // of a patch
	frameSize      int
	imageLength    int64
	artifactLength int64
	headLength     int64
	frames         []Frame
	zeroFull       func() Digest
	zeroTail       func() Digest
}

// From is the base of a patch, the image that it applies to; the zero Blob in an artifact.
func (h *Head) From() Blob { return h.from }

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
func ReadHead(r io.Reader) (*Head, error) { return artifactForm.read(r) }

// ParseHead reads header and index; b holds both and nothing else. It fails
// with ErrFormat if b is not the start of an artifact of a known format, and
// with ErrCorrupt if it is one that contradicts itself or is not complete.
func ParseHead(b []byte) (*Head, error) { return artifactForm.parse(b) }

// ReadPatchHead is ReadHead for a patch.
func ReadPatchHead(r io.Reader) (*Head, error) { return patchForm.read(r) }

// ParsePatchHead is ParseHead for a patch.
func ParsePatchHead(b []byte) (*Head, error) { return patchForm.parse(b) }

// form is what tells the two files apart that have a head.
type form struct {
	name, magic string
	header      int // length
	lastKind    byte
}

var (
	artifactForm = form{"artifact", magic, HeaderLength, FrameRaw}
	patchForm    = form{"patch", patchMagic, PatchHeaderLength, FrameDelta}
)

func (f form) read(r io.Reader) (*Head, error) {
	b, err := readUpTo(r, nil, f.header)
	if err != nil {
		return nil, fmt.Errorf("read %s header: %w", f.name, err)
	}
	_, index, err := f.parseHeader(b)
	if err != nil {
		return nil, err
	}
	b, err = readUpTo(r, b, index)
	if err != nil {
		return nil, fmt.Errorf("read %s index: %w", f.name, err)
	}
	return f.parse(b)
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

func (f form) parse(b []byte) (*Head, error) {
	h, index, err := f.parseHeader(b)
	if err != nil {
		return nil, err
	}
	if len(b) != f.header+index {
		return nil, corrupt("head of %d bytes, its header says %d", len(b), f.header+index)
	}
	if err := h.parseIndex(b[f.header:], f.lastKind); err != nil {
		return nil, err
	}
	return h, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("artifact: "+format+": %w", append(args, ErrCorrupt)...)
}

func (f form) parseHeader(b []byte) (h *Head, index int, err error) {
	if len(b) < f.header {
		if !bytes.HasPrefix([]byte(f.magic), b[:min(len(b), len(f.magic))]) {
			return nil, 0, fmt.Errorf("%s: %w", f.name, ErrFormat)
		}
		return nil, 0, corrupt("cut off after %d bytes", len(b))
	}
	if string(b[:8]) != f.magic {
		return nil, 0, fmt.Errorf("%s: %w", f.name, ErrFormat)
	}
	if b[8] != formatVersion || b[9] != hashSHA256 || b[10] != compressZstd {
		return nil, 0, fmt.Errorf("%s of format %d, hash %d, compression %d; a newer Fairlead may know it: %w",
			f.name, b[8], b[9], b[10], ErrFormat)
	}
	h, index, err = f.parseLengths(b)
	if err == nil && f.header == PatchHeaderLength {
		err = h.parseFrom(b[HeaderLength:])
	}
	return h, index, err
}

// parseLengths reads the fields of a header that say how long things are. The
// length of the file is compared with the index later.
func (f form) parseLengths(b []byte) (h *Head, index int, err error) {
	frameSize := 1 << b[11]
	if !validFrameSize(frameSize) {
		return nil, 0, corrupt("frame size 2^%d", b[11])
	}
	indexLength := binary.LittleEndian.Uint32(b[12:])
	if indexLength > uint32(MaxHead-f.header) {
		return nil, 0, corrupt("index of %d bytes, at most %d are allowed", indexLength, MaxHead-f.header)
	}
	image := binary.LittleEndian.Uint64(b[16:])
	if image > MaxFrames*uint64(frameSize) {
		return nil, 0, corrupt("image of %d bytes, at most %d frames of %d are allowed", image, MaxFrames, frameSize)
	}
	h = newHead(frameSize, int64(image))
	h.headLength = int64(f.header) + int64(indexLength)
	h.artifactLength = int64(binary.LittleEndian.Uint64(b[24:]))
	return h, int(indexLength), nil
}

// parseFrom reads the part of a header that only patches have.
func (h *Head) parseFrom(b []byte) error {
	length := binary.LittleEndian.Uint64(b)
	if length < 1 || length > MaxImage {
		return corrupt("base of %d bytes is not within 1 and %d", length, int64(MaxImage))
	}
	h.from = Blob{Length: int64(length), SHA256: Digest(b[8:])}
	return nil
}

// NewPatchHead makes the head of a patch, given its frames in order: of each
// its kind, and where something is stored, its stored length and its digests.
func NewPatchHead(from Blob, frameSize int, imageLength int64, frames []Frame) (*Head, error) {
	if !validFrameSize(frameSize) || imageLength < 0 || imageLength > MaxFrames*int64(frameSize) {
		return nil, fmt.Errorf("patch for an image of %d bytes in frames of %d: not possible", imageLength, frameSize)
	}
	if len(frames) != frameCount(imageLength, frameSize) {
		return nil, fmt.Errorf("patch of %d frames for an image of %d", len(frames), frameCount(imageLength, frameSize))
	}
	h := newHead(frameSize, imageLength)
	h.from = from
	for _, f := range frames {
		h.add(f)
	}
	h.layOut()
	if h.headLength > MaxHead {
		return nil, fmt.Errorf("patch with a head of %d bytes, at most %d are allowed; choose a larger frame size", h.headLength, MaxHead)
	}
	return h, nil
}

func newHead(frameSize int, imageLength int64) *Head {
	return &Head{
		frameSize:   frameSize,
		imageLength: imageLength,
		zeroFull:    sync.OnceValue(func() Digest { return zeroFrame(frameSize) }),
		zeroTail:    sync.OnceValue(func() Digest { return sumZeros(int(imageLength % int64(frameSize))) }),
	}
}

// zeroFrames are the digests of as many zeros as a frame may have, from MinFrameSize on, each of twice as many as the one before:
// nearly every image has such frames, and SHA-256 takes long on small processors.
var zeroFrames = [...]string{
	"de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31",
	"fa43239bcee7b97ca62f007cc68487560a39e19f74f3dde7486db3f98df8e471",
	"8a39d2abd3999ab73c34db2476849cddf303ce389b35826850f9a700589b4a90",
	"07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541",
	"30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
	"5647f05ec18958947d32874eeb788fa396a05d0bab7c1b71f112ceb7e9b31eee",
	"bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8",
}

// zeroFrame is the digest of a whole frame of zeros.
func zeroFrame(size int) Digest {
	d, _ := ParseDigest(zeroFrames[bits.TrailingZeros(uint(size/MinFrameSize))]) // a test compares all of them
	return d
}

// sumZeros is the digest of n zeros, without the memory for them.
func sumZeros(n int) Digest {
	sum, zeros := sha256.New(), make([]byte, min(n, MinFrameSize))
	for ; n > 0; n -= len(zeros) {
		zeros = zeros[:min(n, len(zeros))]
		sum.Write(zeros)
	}
	return Digest(sum.Sum(nil))
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
