package firmware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"
)

// headOf is a header of 64 KiB frames, whose lengths are as given, and an index.
func headOf(image, artifact uint64, index []byte) []byte {
	b := []byte(magic + "\x01\x01\x01\x10")
	b = binary.LittleEndian.AppendUint32(b, uint32(len(index)))
	b = binary.LittleEndian.AppendUint64(b, image)
	b = binary.LittleEndian.AppendUint64(b, artifact)
	return append(b, index...)
}

// storedFrame is an index entry with digests of no meaning.
func storedFrame(kind byte, fields ...[]byte) []byte {
	return append([]byte{kind}, bytes.Join(fields, nil)...)
}

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

var digestA, digestB = bytes.Repeat([]byte{0xaa}, 32), bytes.Repeat([]byte{0xbb}, 32)

// goodHead has a frame of each kind, and a short last one.
func goodHead() []byte {
	index := bytes.Join([][]byte{
		storedFrame(FrameZstd, uvarint(1000), digestA, digestB),
		storedFrame(FrameZero, uvarint(3)),
		storedFrame(FrameRaw, digestA),
		storedFrame(FrameZero, uvarint(1)),
		storedFrame(FrameZstd, uvarint(6), digestB, digestA),
	}, nil)
	return headOf(6<<16+7, uint64(HeaderLength+len(index)+1000+1<<16+6), index)
}

func TestParseHead(t *testing.T) {
	b := goodHead()
	h, err := ParseHead(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Encode(), b) {
		t.Error("head does not print back to itself")
	}
	if h.Len() != 7 || h.FrameSize() != 1<<16 || h.ImageLength() != 6<<16+7 || h.HeadLength() != int64(len(b)) {
		t.Errorf("%d frames of %d, image %d, head %d", h.Len(), h.FrameSize(), h.ImageLength(), h.HeadLength())
	}
	want := []Frame{
		{0, FrameZstd, h.HeadLength(), 1000, 0, 1 << 16, Digest(digestA), Digest(digestB)},
		{3, FrameZero, h.HeadLength() + 1000, 0, 3 << 16, 1 << 16, Digest{}, Sum(make([]byte, 1<<16))},
		{4, FrameRaw, h.HeadLength() + 1000, 1 << 16, 4 << 16, 1 << 16, Digest(digestA), Digest(digestA)},
		{6, FrameZstd, h.ArtifactLength() - 6, 6, 6 << 16, 7, Digest(digestB), Digest(digestA)},
	}
	for _, f := range want {
		if got := h.Frame(f.Index); got != f {
			t.Errorf("got  %+v\nwant %+v", got, f)
		}
	}
}

func TestParseHeadOfAShortFrameOfZeros(t *testing.T) {
	h, err := ParseHead(headOf(1<<16+3, HeaderLength+2, []byte{FrameZero, 2}))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Frame(1); got.Length != 3 || got.ImageSHA256 != Sum(make([]byte, 3)) {
		t.Errorf("last frame is %+v", got)
	}
}

// with returns the good head with the byte at offset changed.
func with(offset int, value byte) []byte {
	b := goodHead()
	b[offset] = value
	return b
}

// relabelled returns a head whose header says another length of its index.
func relabelled(index byte, b []byte) []byte {
	b[12] = index
	return b
}

func TestFramesOfZeros(t *testing.T) {
	for size := MinFrameSize; size <= MaxFrameSize; size *= 2 {
		if zeroFrame(size) != sumZeros(size) {
			t.Errorf("%d zeros: %v is not their digest", size, zeroFrame(size))
		}
	}
}

func TestParseHeadRefuses(t *testing.T) {
	raw := storedFrame(FrameRaw, digestA)
	tests := []struct {
		name string
		head []byte
		want error
	}{
		{"text", []byte("#!/bin/sh\nexit 0\n# a file of more than a header\n"), ErrFormat},
		{"short text", []byte("PK"), ErrFormat},
		{"text mode transfer", bytes.Replace(goodHead(), []byte("\r\n"), []byte("\n"), 1), ErrFormat},
		{"seven bits", with(0, 0x09), ErrFormat},
		{"newer format", with(8, 2), ErrFormat},
		{"other hash", with(9, 2), ErrFormat},
		{"other compression", with(10, 0), ErrFormat},
		{"frames too small", with(11, 15), ErrCorrupt},
		{"frames too large", with(11, 23), ErrCorrupt},
		{"frames of 2^63", with(11, 63), ErrCorrupt},
		{"frames of 2^256", with(11, 255), ErrCorrupt},
		{"index longer than said", append(goodHead(), 0), ErrCorrupt},
		{"index shorter than said", relabelled(3, headOf(1<<16, 35, []byte{FrameZero, 1})), ErrCorrupt},
		{"index length of 4 GiB", with(15, 0xff), ErrCorrupt},
		{"image of 2^64-1", headOf(math.MaxUint64, 34, []byte{FrameZero, 1}), ErrCorrupt},
		{"image of 2^63", headOf(1<<63, 34, []byte{FrameZero, 1}), ErrCorrupt},
		{"image of one frame too many", headOf(MaxFrames<<16+1, 36, []byte{FrameZero, 0x81, 0x80, 4}), ErrCorrupt},
		{"artifact of 2^64-1", headOf(1<<16, math.MaxUint64, []byte{FrameZero, 1}), ErrCorrupt},
		{"artifact shorter than its head", headOf(1<<16, 33, []byte{FrameZero, 1}), ErrCorrupt},
		{"artifact one too long", headOf(1<<16, 35, []byte{FrameZero, 1}), ErrCorrupt},
		{"artifact one too short", headOf(1<<16, 64+1<<16, raw), ErrCorrupt},
		{"no index", headOf(1, HeaderLength, nil), ErrCorrupt},
		{"index of an empty image", headOf(0, 34, []byte{FrameZero, 1}), ErrCorrupt},
		{"unknown kind", headOf(1, 33, []byte{3}), ErrCorrupt},
		{"run of none", headOf(1<<16, 34, []byte{FrameZero, 0}), ErrCorrupt},
		{"run of none, then a frame", headOf(1<<16, 67+1<<16, concat([]byte{FrameZero, 0}, raw)), ErrCorrupt},
		{"run too long", headOf(1<<16, 34, []byte{FrameZero, 2}), ErrCorrupt},
		{"run of 2^64-1", headOf(1<<16, 43, append([]byte{FrameZero}, uvarint(math.MaxUint64)...)), ErrCorrupt},
		{"run of over 2^64", headOf(1<<16, 44, append([]byte{FrameZero}, bytes.Repeat([]byte{0xff}, 11)...)), ErrCorrupt},
		{"integer longer than needed", headOf(1<<16, 35, []byte{FrameZero, 0x81, 0}), ErrCorrupt},
		{"integer cut off", headOf(1<<16, 34, []byte{FrameZero, 0x81}), ErrCorrupt},
		{"runs not merged", headOf(2<<16, 36, []byte{FrameZero, 1, FrameZero, 1}), ErrCorrupt},
		{"nothing stored", headOf(1<<16, 98, storedFrame(FrameZstd, uvarint(0), digestA, digestB)), ErrCorrupt},
		{"compressed no smaller", headOf(1<<16, 100+1<<16, storedFrame(FrameZstd, uvarint(1<<16), digestA, digestB)), ErrCorrupt},
		{"compressed no smaller than the short frame", headOf(5, 103, storedFrame(FrameZstd, uvarint(5), digestA, digestB)), ErrCorrupt},
		{"one digest missing", headOf(5, 68, storedFrame(FrameZstd, uvarint(2), digestA)), ErrCorrupt},
		{"digest cut off", headOf(1<<16, 64+1<<16, raw[:32]), ErrCorrupt},
		{"trailing entry", headOf(1<<16, 98+1<<16, append(bytes.Clone(raw), raw...)), ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := ParseHead(tt.head)
			if h != nil || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestHeadCutOffAnywhere(t *testing.T) {
	b := goodHead()
	for n := range b {
		if _, err := ParseHead(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("ParseHead of %d bytes: %v, want %v", n, err, ErrCorrupt)
		}
		if _, err := ReadHead(bytes.NewReader(b[:n])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("ReadHead of %d bytes: %v, want %v", n, err, ErrCorrupt)
		}
	}
}

func TestReadHeadReadsNoFurther(t *testing.T) {
	r := bytes.NewReader(append(goodHead(), "frames"...))
	if _, err := ReadHead(iotest.OneByteReader(r)); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "frames" {
		t.Errorf("left %q, want the frames", rest)
	}
}

func TestReadHeadTellsFaultsFromDamage(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 10, HeaderLength, 40} {
		r := io.MultiReader(bytes.NewReader(goodHead()[:n]), iotest.ErrReader(broken))
		if _, err := ReadHead(r); !errors.Is(err, broken) || errors.Is(err, ErrCorrupt) {
			t.Errorf("after %d bytes: %v, want %v", n, err, broken)
		}
	}
}

// A length that is out of bounds is refused before anything is made of it.
func TestReadHeadBelievesNoLength(t *testing.T) {
	b := with(15, 0xff)[:HeaderLength]
	r := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errors.New("read further")))
	if _, err := ReadHead(r); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(goodHead())
	f.Add(headOf(0, HeaderLength, nil))
	f.Add(headOf(1<<16+3, HeaderLength+2, []byte{FrameZero, 2}))
	f.Add(headOf(MaxFrames<<16, HeaderLength+4, append([]byte{FrameZero}, uvarint(MaxFrames)...)))
	f.Add(headOf(math.MaxUint64, math.MaxUint64, []byte{FrameRaw}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if !bytes.Equal(h.Encode(), b) {
			t.Fatal("head does not print back to itself")
		}
		at, offset := int64(0), h.HeadLength()
		for i := range h.Len() {
			fr := h.frames[i]
			if fr.At != at || fr.Offset != offset || fr.Length < 1 || fr.Length > int64(h.FrameSize()) || fr.Stored > fr.Length {
				t.Fatalf("frame %d: %+v", i, fr)
			}
			at, offset = at+fr.Length, offset+fr.Stored
		}
		if at != h.ImageLength() || offset != h.ArtifactLength() {
			t.Fatalf("frames end at %d and %d, want %d and %d", at, offset, h.ImageLength(), h.ArtifactLength())
		}
	})
}
