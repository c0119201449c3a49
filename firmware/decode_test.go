package firmware

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// stored is a frame whose index entry says that b is stored for image.
func stored(kind byte, image, b []byte) Frame {
	f := Frame{Kind: kind, Stored: int64(len(b)), Length: int64(len(image)), ImageSHA256: Sum(image)}
	if kind != FrameZero {
		f.StoredSHA256 = Sum(b)
	}
	return f
}

func compressed(t testing.TB, image []byte, o ...zstd.EOption) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(image, nil)
}

func newTestDecoder(t testing.TB, frameSize int) *Decoder {
	t.Helper()
	d, err := NewDecoder(frameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestDecodeKinds(t *testing.T) {
	text := bytes.Repeat([]byte("text "), MinFrameSize/5)
	tests := []struct {
		name   string
		kind   byte
		image  []byte
		stored []byte
	}{
		{"zeros", FrameZero, make([]byte, 1000), nil},
		{"raw", FrameRaw, noise(1000, 1), noise(1000, 1)},
		{"one byte", FrameRaw, []byte{7}, []byte{7}},
		{"compressed", FrameZstd, text, compressed(t, text)},
		{"window within the frame size", FrameZstd, text, compressed(t, text, zstd.WithSingleSegment(false), zstd.WithWindowSize(MinFrameSize))},
		{"one byte repeated", FrameZstd, bytes.Repeat([]byte{9}, 4096), rle(9, 4096)},
	}
	d := newTestDecoder(t, MinFrameSize)
	dirty := bytes.Repeat([]byte{0xee}, MinFrameSize)
	for _, tt := range tests {
		got, err := d.Decode(dirty, stored(tt.kind, tt.image, tt.stored), tt.stored)
		if err != nil || !bytes.Equal(got, tt.image) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		} else if &got[0] != &dirty[0] {
			t.Errorf("%s: result is not in the given buffer", tt.name)
		}
		got, err = d.Decode(nil, stored(tt.kind, tt.image, tt.stored), tt.stored)
		if err != nil || !bytes.Equal(got, tt.image) {
			t.Errorf("%s, without a buffer: %d bytes, %v", tt.name, len(got), err)
		}
	}
}

// rle is a Zstandard frame of one block: n times the byte c.
func rle(c byte, n int) []byte {
	header := n<<3 | 1<<1 | 1
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24),
		byte(header), byte(header >> 8), byte(header >> 16), c}
}

func TestDecodeRefuses(t *testing.T) {
	text := bytes.Repeat([]byte("text "), MinFrameSize/5)
	good := compressed(t, text)
	tampered := bytes.Clone(good)
	tampered[len(tampered)-1] ^= 1
	lying := stored(FrameZstd, text, good)
	lying.ImageSHA256 = Sum(nil)
	large := noise(3*MinFrameSize, 1)
	large = append(large, large...)
	tests := []struct {
		name   string
		frame  Frame
		stored []byte
		want   string
	}{
		{"tampered before decoding", stored(FrameZstd, text, good), tampered, "stored bytes are not those"},
		{"raw and tampered", stored(FrameRaw, good, good), tampered, "stored bytes are not those"},
		{"cut off", stored(FrameZstd, text, good), good[:len(good)-1], "stored bytes, want"},
		{"nothing", stored(FrameZstd, text, good), nil, "stored bytes, want"},
		{"too much", stored(FrameZstd, text, good), append(bytes.Clone(good), 0), "stored bytes, want"},
		{"bytes for zeros", stored(FrameZero, text, nil), good, "stored bytes, want"},
		{"other image", lying, good, "image bytes are not those"},
		{"unknown kind", stored(9, text, good), good, "kind 9"},
		{"empty frame", stored(FrameZero, nil, nil), nil, "length 0"},
		{"frame above the frame size", stored(FrameZero, large, nil), nil, "is not within"},
		{"raw of another length", stored(FrameRaw, text, good), good, "raw"},
		// From here on the index pins what is stored: what a signer in error,
		// or one that is not ours, could have made.
		{"not Zstandard", stored(FrameZstd, text, []byte("GIF89a")), []byte("GIF89a"), "not a Zstandard frame"},
		{"empty Zstandard frame", stored(FrameZstd, text, nil), nil, "not a Zstandard frame"},
		{"more content than said", stored(FrameZstd, text[:100], good), good, "of 65535 bytes, want 100"},
		{"bomb", stored(FrameZstd, text, rle(0, 1<<30)), rle(0, 1<<30), "of 1073741824 bytes"},
		{"bomb that lies", bombThatLies(text), bombThatLiesBytes(), "frame 0"},
		{"unsized", stored(FrameZstd, text, unsized(good)), unsized(good), "Zstandard frame of 0 bytes"},
		{"checksum", refused(t, text, zstd.WithEncoderCRC(true)), refusedBytes(t, text, zstd.WithEncoderCRC(true)), "checksum"},
		{"dictionary", refused(t, text, rawDict), refusedBytes(t, text, rawDict), "dictionary"},
		{"window above the frame size", refused(t, text, wideWindow...), refusedBytes(t, text, wideWindow...), "window of"},
		{"skippable", stored(FrameZstd, text, skippable), skippable, "frame of 0 bytes"},
		{"second frame", stored(FrameZstd, text, concat(good, rle(0, 256))), concat(good, rle(0, 256)), "after the Zstandard frame"},
		{"skippable after it", stored(FrameZstd, text, concat(good, skippable)), concat(good, skippable), "after the Zstandard frame"},
		{"cut off in a block", stored(FrameZstd, text, good[:len(good)-1]), good[:len(good)-1], "cut off"},
		{"no block", stored(FrameZstd, text, good[:9]), good[:9], "cut off"},
		{"reserved block", stored(FrameZstd, text, reserved()), reserved(), "reserved"},
		{"garbage in a block", stored(FrameZstd, text, garbage(good)), garbage(good), "frame 0"},
	}
	d := newTestDecoder(t, MinFrameSize)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := d.Decode(nil, tt.frame, tt.stored)
			if got != nil || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %d bytes and %v, want an error with %q", len(got), err, tt.want)
			}
		})
	}
	if got, err := d.Decode(nil, stored(FrameZstd, text, good), good); err != nil || !bytes.Equal(got, text) {
		t.Errorf("after all this the decoder fails: %v", err)
	}
}

var (
	rawDict    = zstd.WithEncoderDictRaw(77, []byte("text text text text "))
	wideWindow = []zstd.EOption{zstd.WithSingleSegment(false), zstd.WithWindowSize(1 << 20), zstd.WithEncoderLevel(zstd.SpeedFastest)}
	skippable  = []byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2}
)

func refused(t *testing.T, image []byte, o ...zstd.EOption) Frame {
	return stored(FrameZstd, image, refusedBytes(t, image, o...))
}

// refusedBytes is a frame made with options that artifacts do not use. Where
// the encoder would narrow the window to the content, it is widened by hand.
func refusedBytes(t *testing.T, image []byte, o ...zstd.EOption) []byte {
	b := compressed(t, image, o...)
	if b[4]&0x20 == 0 {
		b[5] = (17 - 10) << 3
	}
	return b
}

func bombThatLies(image []byte) Frame { return stored(FrameZstd, image, bombThatLiesBytes()) }

// bombThatLiesBytes says that it holds 65,535 bytes, and goes on for 2 MiB.
func bombThatLiesBytes() []byte {
	b := rle(0, 65535)[:9]
	for i := range 16 {
		header := (128<<10)<<3 | 1<<1
		if i == 15 {
			header |= 1
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}

// unsized takes the content size out of a frame of one segment.
func unsized(frame []byte) []byte {
	size := 1 << (frame[4] >> 6)
	b := append(bytes.Clone(frame[:4]), 0, (16-10)<<3)
	return append(b, frame[5+size:]...)
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func reserved() []byte {
	b := rle(0, 65535)
	b[9] |= 3 << 1
	return b
}

func garbage(frame []byte) []byte {
	b := bytes.Clone(frame)
	for i := 15; i < len(b); i++ {
		b[i] ^= 0x5a
	}
	return b
}

func TestNewDecoderRefusesFrameSizes(t *testing.T) {
	for _, n := range []int{-1, 0, 1, MinFrameSize - 1, MinFrameSize + 1, MaxFrameSize + 1, 2 * MaxFrameSize} {
		if _, err := NewDecoder(n); err == nil {
			t.Errorf("frame size %d is accepted", n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text := bytes.Repeat([]byte("text "), 1000)
	f.Add(FrameZstd, 5000, compressed(f, text))
	f.Add(FrameZstd, 4096, rle(9, 4096))
	f.Add(FrameZstd, 65535, bombThatLiesBytes())
	f.Add(FrameZstd, 5000, garbage(compressed(f, text)))
	f.Add(FrameZstd, 10, skippable)
	f.Add(FrameRaw, 3, []byte("raw"))
	f.Add(FrameZero, 65536, []byte{})
	f.Add(byte(3), 1, []byte{1})
	d := newTestDecoder(f, MinFrameSize)
	reference, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxFrameSize))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, length int, b []byte) {
		fr := Frame{Kind: kind, Length: int64(length), Stored: int64(len(b)), StoredSHA256: Sum(b)}
		want := b
		if kind == FrameZstd {
			want, _ = reference.DecodeAll(b, nil)
		}
		fr.ImageSHA256 = Sum(want)
		got, err := d.Decode(nil, fr, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if len(got) != length || (kind != FrameZero && !bytes.Equal(got, want)) {
			t.Fatalf("got %d bytes, want %d", len(got), length)
		}
	})
}
