package firmware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// patchOf is a patch head of 64 KiB frames from a base of so many bytes.
func patchOf(from uint64, image, patch uint64, index []byte) []byte {
	b := headOf(image, patch, index)[:HeaderLength]
	copy(b, patchMagic)
	b = binary.LittleEndian.AppendUint64(b, from)
	return append(append(b, digestA...), index...)
}

func TestParsePatchHead(t *testing.T) {
	frames := []Frame{
		{Kind: FrameDelta, Stored: 1000, StoredSHA256: Digest(digestA), ImageSHA256: Digest(digestB)},
		{Kind: FrameZero},
		{Kind: FrameZero},
		{Kind: FrameRaw, Stored: 5, StoredSHA256: Digest(digestA), ImageSHA256: Digest(digestA)},
	}
	from := Blob{Length: 9, SHA256: Digest(digestA)}
	made, err := NewPatchHead(from, 1<<16, 3<<16+5, frames)
	if err != nil {
		t.Fatal(err)
	}
	index := bytes.Join([][]byte{storedFrame(FrameDelta, uvarint(1000), digestA, digestB), storedFrame(FrameZero, uvarint(2)), storedFrame(FrameRaw, digestA)}, nil)
	want := patchOf(9, 3<<16+5, uint64(PatchHeaderLength+len(index)+1005), index)
	if got := made.Encode(); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	for _, read := range []func([]byte) (*Head, error){ParsePatchHead, func(b []byte) (*Head, error) { return ReadPatchHead(bytes.NewReader(b)) }} {
		h, err := read(want)
		if err != nil {
			t.Fatal(err)
		}
		if h.From() != from || !bytes.Equal(h.Encode(), want) || h.Frame(0).Kind != FrameDelta || h.Frame(3).Offset != h.HeadLength()+1000 {
			t.Errorf("read back as %+v", h)
		}
	}
}

func TestParsePatchHeadRefuses(t *testing.T) {
	zero := []byte{FrameZero, 1}
	length := uint64(PatchHeaderLength + len(zero))
	tests := []struct {
		name string
		head []byte
		want error
	}{
		{"an artifact", headOf(1<<16, 34, zero), ErrFormat},
		{"a base of no bytes", patchOf(0, 1<<16, length, zero), ErrCorrupt},
		{"a base of 2^63 bytes", patchOf(1<<63, 1<<16, length, zero), ErrCorrupt},
		{"cut off in the base", patchOf(9, 1<<16, length, zero)[:60], ErrCorrupt},
		{"unknown kind", patchOf(9, 1<<16, length, []byte{4, 1}), ErrCorrupt},
		{"one byte too long", patchOf(9, 1<<16, length+1, zero), ErrCorrupt},
	}
	for _, tt := range tests {
		if _, err := ParsePatchHead(tt.head); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := ParseHead(patchOf(9, 1<<16, length, zero)); !errors.Is(err, ErrFormat) {
		t.Errorf("a patch taken for an artifact: %v", err)
	}
}
