package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/fairlead/fairlead/firmware"
)

// Bounds of the format.
const (
	// MinSize and MaxSize are the least and the most bytes of a chunk. A size is a power of two.
	MinSize = 4 << 10
	MaxSize = 4 << 20
	// MaxChunks is the largest number of chunks of one image.
	MaxChunks = 1 << 16
	// HeaderLength is that of what stands before the index, in bytes.
	HeaderLength = 32

	magic         = "\x89FLC\r\n\x1a\n"
	formatVersion = 1
	hashSHA256    = 1
	compressZstd  = 1

	entryLength = 8 + sumLength // of an entry without its first number
	sumLength   = 16
)

// Chunk is one part of the image.
type Chunk struct {
	At, Length     int64  // within the image
	Offset, Stored int64  // within the file; Stored is 0 for zeros, and Length for what is stored as it is
	Find           uint64 // see Hash
	Sum            [16]byte
}

// Index is a valid header and index.
type Index struct {
	size        int
	imageLength int64
	fileLength  int64
	entries     []entry
}

// entry is a Chunk less what follows from its place.
type entry struct {
	offset int64
	find   uint64
	sum    [sumLength]byte
	stored uint32
}

// Size is the length in bytes of every chunk but perhaps the last.
func (x *Index) Size() int { return x.size }

// Len is the number of chunks.
func (x *Index) Len() int { return len(x.entries) }

// ImageLength and FileLength are in bytes.
func (x *Index) ImageLength() int64 { return x.imageLength }
func (x *Index) FileLength() int64  { return x.fileLength }

// Chunk returns chunk i, from 0 to below Len.
func (x *Index) Chunk(i int) Chunk {
	e := &x.entries[i]
	at := int64(i) * int64(x.size)
	return Chunk{At: at, Length: min(int64(x.size), x.imageLength-at), Offset: e.offset, Stored: int64(e.stored), Find: e.find, Sum: e.sum}
}

// DefaultSize is 16 KiB, and more for images of more than 1 GiB: an index has MaxChunks at most.
func DefaultSize(imageLength int64) int {
	size := 16 << 10
	for size < MaxSize && (imageLength-1)/int64(size) >= MaxChunks {
		size *= 2
	}
	return size
}

// corrupt is the error of bytes that contradict themselves or the index.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("chunks: "+format+": %w", append(args, firmware.ErrCorrupt)...)
}

// Parse reads header and index; b holds both and nothing else. It fails with firmware.ErrFormat if b is not the start of
// a file of chunks of a known format, and with firmware.ErrCorrupt if it is one that contradicts itself.
func Parse(b []byte) (*Index, error) {
	if len(b) < HeaderLength || string(b[:8]) != magic {
		return nil, fmt.Errorf("chunks: %w", firmware.ErrFormat)
	}
	if b[8] != formatVersion || b[9] != hashSHA256 || b[10] != compressZstd {
		return nil, fmt.Errorf("chunks of format %d, hash %d, compression %d; a newer Fairlead may know it: %w", b[8], b[9], b[10], firmware.ErrFormat)
	}
	x := &Index{
		size:        1 << (b[11] & 31),
		imageLength: int64(binary.LittleEndian.Uint64(b[16:])),
		fileLength:  int64(binary.LittleEndian.Uint64(b[24:])),
	}
	if b[11] > 31 || checkSizes(x.size, x.imageLength) != nil {
		return nil, corrupt("image of %d bytes in chunks of 2^%d", x.imageLength, b[11])
	}
	if n := binary.LittleEndian.Uint32(b[12:]); uint64(n) != uint64(len(b)-HeaderLength) {
		return nil, corrupt("index of %d bytes, its header says %d", len(b)-HeaderLength, n)
	}
	return x, x.parse(b[HeaderLength:], int64(len(b)))
}

func checkSizes(size int, imageLength int64) error {
	if size < MinSize || size > MaxSize || bits.OnesCount(uint(size)) != 1 {
		return fmt.Errorf("chunk size %d is not a power of two from %d to %d", size, MinSize, MaxSize)
	}
	if imageLength < 0 || imageLength > MaxChunks*int64(size) {
		return fmt.Errorf("an image of %d bytes has more than %d chunks of %d", imageLength, MaxChunks, size)
	}
	return nil
}

func (x *Index) parse(b []byte, offset int64) (err error) {
	total := int((x.imageLength + int64(x.size) - 1) / int64(x.size))
	x.entries = make([]entry, 0, min(total, len(b))) // a run of zeros may make it longer
	wasZero := false
	for len(x.entries) < total {
		first, run := len(x.entries), uint64(1)
		e := entry{offset: offset}
		if b, run, err = e.take(b, min(int64(x.size), x.imageLength-int64(first)*int64(x.size))); err != nil {
			return fmt.Errorf("chunk %d: %w", first, err)
		}
		if run > uint64(total-first) || wasZero && e.stored == 0 {
			return corrupt("chunk %d: run of %d, of %d chunks, may not stand here", first, run, total)
		}
		wasZero = e.stored == 0
		for range run {
			x.entries = append(x.entries, e)
		}
		offset += int64(e.stored)
	}
	if len(b) != 0 || offset != x.fileLength {
		return corrupt("its chunks end at %d with %d bytes of index left, its header says %d", offset, len(b), uint64(x.fileLength))
	}
	return nil
}

// take reads an entry for a chunk of the given length, or for a run of zeros, from the front of b.
func (e *entry) take(b []byte, length int64) (rest []byte, run uint64, err error) {
	stored, b, err := takeUvarint(b)
	if err != nil {
		return nil, 0, err
	}
	if stored == 0 {
		if run, b, err = takeUvarint(b); err == nil && run == 0 {
			err = corrupt("empty run of zeros")
		}
		return b, run, err
	}
	if stored > uint64(length) {
		return nil, 0, corrupt("%d stored bytes for %d", stored, length)
	}
	if len(b) < entryLength {
		return nil, 0, corrupt("index cut off")
	}
	e.stored, e.find = uint32(stored), binary.LittleEndian.Uint64(b)
	copy(e.sum[:], b[8:])
	return b[entryLength:], 1, nil
}

// takeUvarint reads an integer in its shortest form.
func takeUvarint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, corrupt("index holds a broken integer")
	}
	return v, b[n:], nil
}

// Encode prints header and index: for what Parse returned, the same bytes.
func (x *Index) Encode() []byte {
	b := make([]byte, HeaderLength, HeaderLength+len(x.entries)*(entryLength+3))
	for i := 0; i < len(x.entries); i++ {
		e := &x.entries[i]
		b = binary.AppendUvarint(b, uint64(e.stored))
		if e.stored > 0 {
			b = append(binary.LittleEndian.AppendUint64(b, e.find), e.sum[:]...)
			continue
		}
		run := 1
		for i+1 < len(x.entries) && x.entries[i+1].stored == 0 {
			run, i = run+1, i+1
		}
		b = binary.AppendUvarint(b, uint64(run))
	}
	copy(b, magic)
	b[8], b[9], b[10] = formatVersion, hashSHA256, compressZstd
	b[11] = byte(bits.TrailingZeros(uint(x.size)))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-HeaderLength))
	binary.LittleEndian.PutUint64(b[16:], uint64(x.imageLength))
	binary.LittleEndian.PutUint64(b[24:], uint64(x.fileLength))
	return b
}

// Read reads header and index from the start of a file of chunks, and not a byte more. Its errors are those of Parse and
// of r.
func Read(r io.Reader) (*Index, error) {
	b := make([]byte, HeaderLength)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, readError(err)
	}
	if n := binary.LittleEndian.Uint32(b[12:]); string(b[:8]) == magic && n <= MaxIndex-HeaderLength {
		b = append(b, make([]byte, n)...)
	}
	if _, err := io.ReadFull(r, b[HeaderLength:]); err != nil {
		return nil, readError(err)
	}
	return Parse(b)
}

// MaxIndex is the longest header and index in bytes.
const MaxIndex = HeaderLength + MaxChunks*(entryLength+4)

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("cut off")
	}
	return fmt.Errorf("read chunks: %w", err)
}

// Expand turns the stored bytes of chunk i into its image bytes, which fill dst from its start. What differs from the index
// is firmware.ErrCorrupt, before it is decoded.
func (x *Index) Expand(d *firmware.Decoder, dst []byte, i int, stored []byte) error {
	c := x.Chunk(i)
	if int64(len(stored)) != c.Stored || sumOf(stored) != c.Sum {
		return corrupt("chunk %d: its stored bytes are not those of the index", i)
	}
	if c.Stored == c.Length {
		copy(dst[:c.Length], stored)
		return nil
	}
	_, err := d.Expand(dst[:0:c.Length], stored, c.Length)
	if err != nil {
		return fmt.Errorf("chunk %d: %w", i, err)
	}
	return nil
}

// sumOf is the first half of SHA-256: nobody finds other bytes with the same.
func sumOf(b []byte) (sum [sumLength]byte) {
	whole := firmware.Sum(b)
	copy(sum[:], whole[:])
	return sum
}
