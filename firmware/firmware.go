// Package firmware says what a firmware is: the manifest that pins a release,
// the artifact that carries an image, and the limits of both.
//
// # Words
//
// An image is the bytes that fill a slot. An artifact is the file that carries
// one image. A manifest is a small JSON file that names a release, its product
// and its hardware, orders it by a counter, and pins image, artifact and
// everything else of the release by length and SHA-256.
//
// # Artifact
//
// An artifact is a header of 32 bytes, an index, and stored frames, with
// nothing between or after; all integers are little-endian:
//
//	 0  8  magic: 0x89 "FLA" 0x0D 0x0A 0x1A 0x0A
//	 8  1  format, 1
//	 9  1  hash, 1: SHA-256
//	10  1  compression, 1: Zstandard
//	11  1  log2 of the frame size, 16 to 22
//	12  4  length of the index in bytes
//	16  8  length of the image in bytes
//	24  8  length of the artifact in bytes
//	32     index
//
// The image is cut into frames of the frame size, of which the last may be
// shorter. Each stands for itself, so that a device can fetch any frame by an
// HTTP range, check its stored bytes before they reach a decompressor, check
// what came out before it is written, and resume at any frame. The index tells
// of the frames in order, each entry starting with its kind:
//
//	0x00  zeros       uvarint number of frames, 1 or more; never two such entries in a row
//	0x01  Zstandard   uvarint stored length, below the frame's; SHA-256 of the stored
//	                  bytes; SHA-256 of the frame's image bytes
//	0x02  raw         SHA-256; the stored bytes are the image's
//
// Frames of zeros have no stored bytes. A Zstandard frame is one frame by
// RFC 8878 that names its content size, wants no window above the frame size,
// no dictionary, and carries no checksum. Header and index are the head; the
// manifest pins the head on its own, so that a device trusts the index before
// it acts on it.
//
// # Patch
//
// A patch makes the image from another one, its base. It has the form of an
// artifact, with these differences: the magic is 0x89 "FLP" 0x0D 0x0A 0x1A 0x0A;
// the header goes on, after its 32 bytes, with
//
//	32  8  length of the base in bytes, 1 or more
//	40 32  SHA-256 of the base
//	72     index
//
// and frames may be of a fourth kind, that package delta decodes:
//
//	0x03  delta       as 0x01, but stored in terms of the base
//
// # Promises
//
// There is one encoding of an index: what ParseHead accepts, Head.Encode
// prints back to the same bytes. The same image with the same options and the
// same release of the compressor gives the same artifact, whatever the number
// of workers. Nothing in a head can make a reader allocate more than a small
// multiple of MaxHead, or a decoder more than a few frames.
//
// Not promised: that two releases of the compressor agree; that a frame of
// zeros is never stored as raw or Zstandard by other writers; secrecy.
package firmware

import "errors"

var (
	// ErrFormat: the bytes are not an artifact, or of a format that this
	// release does not know.
	ErrFormat = errors.New("not an artifact of a known format")
	// ErrCorrupt: the bytes are not those that the index pins, or the index
	// contradicts itself.
	ErrCorrupt = errors.New("corrupt")
)

const (
	// HeaderLength is the length of an artifact's header in bytes.
	HeaderLength = 32
	// PatchHeaderLength is the length of a patch's header in bytes.
	PatchHeaderLength = HeaderLength + 40
	// MaxHead is the longest head, header and index, in bytes.
	MaxHead = 16 << 20
	// MaxFrames is the largest number of frames of one image.
	MaxFrames = 1 << 16

	// MinFrameSize, MaxFrameSize and DefaultFrameSize are in bytes. A frame
	// size is a power of two.
	MinFrameSize     = 1 << 16
	MaxFrameSize     = 1 << 22
	DefaultFrameSize = 4 << 20

	// MaxImage is the longest image in bytes, 256 GiB.
	MaxImage = MaxFrames * MaxFrameSize
)
