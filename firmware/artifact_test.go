package firmware

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"github.com/fairlead/fairlead/firmware/durable"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// testImage is n bytes like those of real images: text, zeros and noise.
func testImage(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+1<<17)
	for len(b) < n {
		piece := make([]byte, r.IntN(1<<17))
		switch r.IntN(3) {
		case 0:
			fillNoise(r, piece)
		case 1:
			fillText(r, piece)
		}
		b = append(b, piece...)
	}
	return b[:n:n]
}

func fillNoise(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func fillText(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = "etaoin shrdlu\n"[r.IntN(14)]
	}
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	fillNoise(rand.New(rand.NewPCG(seed, 2)), b)
	return b
}

func tempSpool(t testing.TB) *os.File {
	t.Helper()
	f, err := durable.Spool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustEncode(t testing.TB, image []byte, o EncodeOptions) ([]byte, Encoded) {
	t.Helper()
	var out bytes.Buffer
	e, err := Encode(context.Background(), &out, bytes.NewReader(image), int64(len(image)), tempSpool(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), e
}

// decodeAll decodes every frame of an artifact on its own, the last one first.
func decodeAll(artifact []byte) ([]byte, error) {
	head, err := ReadHead(bytes.NewReader(artifact))
	if err != nil {
		return nil, err
	}
	if head.ArtifactLength() != int64(len(artifact)) {
		return nil, errors.New("artifact of another length than its head says")
	}
	d, err := NewDecoder(head.FrameSize())
	if err != nil {
		return nil, err
	}
	defer d.Close()
	image := make([]byte, head.ImageLength())
	var buf []byte
	for i := head.Len() - 1; i >= 0; i-- {
		f := head.Frame(i)
		if buf, err = d.Decode(buf, f, artifact[f.Offset:f.Offset+f.Stored]); err != nil {
			return nil, err
		}
		if Sum(buf) != f.ImageSHA256 {
			return nil, fmt.Errorf("frame %d: kind %d has another SHA-256 than its head says", i, f.Kind)
		}
		copy(image[f.At:f.At+f.Length], buf)
	}
	return image, nil
}

func checkRoundTrip(t interface{ Fatalf(string, ...any) }, image, artifact []byte, e Encoded) {
	got, err := decodeAll(artifact)
	if err != nil || !bytes.Equal(got, image) {
		t.Fatalf("image of %d bytes does not come back: %v", len(image), err)
	}
	if e.Image != (Blob{int64(len(image)), Sum(image)}) {
		t.Fatalf("image of %d bytes is said to be %v", len(image), e.Image)
	}
	head := artifact[:e.Artifact.Head.Length]
	if want := (Framed{Blob{int64(len(artifact)), Sum(artifact)}, Blob{int64(len(head)), Sum(head)}}); e.Artifact != want {
		t.Fatalf("artifact is said to be %v, is %v", e.Artifact, want)
	}
	parsed, err := ParseHead(head)
	if err != nil || !bytes.Equal(parsed.Encode(), head) {
		t.Fatalf("head does not print back to itself: %v", err)
	}
	if parsed.HeadLength() != e.Artifact.Head.Length || parsed.Len() != e.Frames {
		t.Fatalf("head says %d bytes and %d frames, encoder %d and %d",
			parsed.HeadLength(), parsed.Len(), e.Artifact.Head.Length, e.Frames)
	}
}

func TestRoundTripAtFrameBorders(t *testing.T) {
	const small, large = MinFrameSize, DefaultFrameSize
	tests := []struct{ frame, length int }{
		{small, 0}, {small, 1}, {small, small - 1}, {small, small}, {small, small + 1}, {small, 2*small - 1}, {small, 2 * small},
		{large, 1}, {large, large - 1}, {large, large}, {large, large + 1},
	}
	for _, tt := range tests {
		image := testImage(tt.length, uint64(tt.length))
		artifact, e := mustEncode(t, image, EncodeOptions{FrameSize: tt.frame, Workers: 2})
		checkRoundTrip(t, image, artifact, e)
	}
}

// Around these lengths compressing begins to be of use.
func TestRoundTripOfShortRuns(t *testing.T) {
	for n := 8; n < 20; n++ {
		image := bytes.Repeat([]byte{'a'}, n)
		artifact, e := mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize})
		checkRoundTrip(t, image, artifact, e)
	}
}

func TestRoundTripOfAnyImage(t *testing.T) {
	// Each run makes compressors, whose tables cost more than the images.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		t.Fatal(err)
	}
	spool := tempSpool(t)
	rapid.Check(t, func(rt *rapid.T) {
		var image []byte
		for _, kind := range rapid.SliceOfN(rapid.IntRange(0, 3), 0, 6).Draw(rt, "kinds") {
			piece := make([]byte, rapid.SampledFrom([]int{1, 100, MinFrameSize - 1, MinFrameSize, MinFrameSize + 1}).Draw(rt, "length"))
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
			switch kind {
			case 0:
				fillNoise(r, piece)
			case 1:
				fillText(r, piece)
			}
			image = append(image, piece...)
		}
		if err := spool.Truncate(0); err != nil {
			rt.Fatal(err)
		}
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			rt.Fatal(err)
		}
		var out bytes.Buffer
		o := EncodeOptions{FrameSize: MinFrameSize, Workers: rapid.IntRange(1, 3).Draw(rt, "workers")}
		e, err := Encode(context.Background(), &out, bytes.NewReader(image), int64(len(image)), spool, o)
		if err != nil {
			rt.Fatal(err)
		}
		checkRoundTrip(rt, image, out.Bytes(), e)
	})
}

// The bytes of an artifact whose frames are raw or zero depend on no
// compressor, so they can be told here one by one.
func TestArtifactBytes(t *testing.T) {
	first := noise(MinFrameSize, 1)
	image := append(append(bytes.Clone(first), make([]byte, 2*MinFrameSize)...), 'x')
	artifact, e := mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize})
	header := "89464c410d0a1a0a" + // magic
		"01" + "01" + "01" + "10" + // format, hash, compression, frame size
		"44000000" + // index
		"0100030000000000" + // image
		"6500010000000000" // artifact
	index := "02" + Sum(first).String() + "0002" + "02" + Sum([]byte("x")).String()
	want := header + index + hex.EncodeToString(first) + "78"
	if got := hex.EncodeToString(artifact); got != want {
		t.Errorf("head is\n%s\nwant\n%s", got[:200], want[:200])
	}
	if e.Frames != 4 || e.ZeroFrames != 2 {
		t.Errorf("%d frames, %d of zeros, want 4 and 2", e.Frames, e.ZeroFrames)
	}
}

func TestZerosCostNothing(t *testing.T) {
	artifact, _ := mustEncode(t, make([]byte, 100*MinFrameSize), EncodeOptions{FrameSize: MinFrameSize})
	if len(artifact) != HeaderLength+2 {
		t.Errorf("100 frames of zeros make %d bytes, want %d", len(artifact), HeaderLength+2)
	}
}

func TestWorkersMakeNoDifference(t *testing.T) {
	image := testImage(12*MinFrameSize+5, 7)
	want, _ := mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize, Workers: 1})
	for _, workers := range []int{2, 5} {
		got, _ := mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize, Workers: workers})
		if !bytes.Equal(got, want) {
			t.Errorf("%d workers make another artifact than one", workers)
		}
	}
}

// A compressor must not let one frame show in the next: which frames a worker
// gets is chance.
func TestCompressorForgets(t *testing.T) {
	const size = 1 << 18
	used, err := NewCompressor(size)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(5) {
		image := testImage(size-int(seed)*50_000, seed)
		fresh, err := NewCompressor(size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(used.Compress(image), fresh.Compress(image)) {
			t.Fatalf("image %d is compressed in another way after others", seed)
		}
	}
}

// The frames of an artifact are Zstandard to any other decoder too.
func TestFramesAreZstandard(t *testing.T) {
	image := bytes.Repeat([]byte("fairlead "), 50_000)
	artifact, _ := mustEncode(t, image, EncodeOptions{FrameSize: 1 << 18})
	head, err := ReadHead(bytes.NewReader(artifact))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(bytes.NewReader(artifact[head.HeadLength():]))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(got, image) {
		t.Errorf("the stored frames are not the image: %v", err)
	}
}

func TestFrameSizeFollowsTheImage(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		size int64
		o    int
		want int
	}{
		{0, 0, 4 * mib},
		{MaxImage, 0, 4 * mib},
		{MaxImage + 1, 0, 0},
		{1 << 62, 0, 0},
		{-1, 0, 0},
		{1, MinFrameSize, MinFrameSize},
		{1, MaxFrameSize, MaxFrameSize},
		{1, MinFrameSize - 1, 0},
		{1, MinFrameSize / 2, 0},
		{1, MaxFrameSize * 2, 0},
		{1, -1, 0},
		{1, 3 << 18, 0},
		{MaxFrames*MinFrameSize + 1, MinFrameSize, 0},
	}
	for _, tt := range tests {
		got, err := EncodeOptions{FrameSize: tt.o}.frameSizeFor(tt.size)
		if got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("image of %d bytes, frame size %d: got %d, %v, want %d", tt.size, tt.o, got, err, tt.want)
		}
	}
}

func TestEncodeReportsProgressInOrder(t *testing.T) {
	image := testImage(10*MinFrameSize+1, 3)
	var last int64
	mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize, Workers: 3, Progress: func(done, total int64) {
		if done <= last || total != int64(len(image)) {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if last != int64(len(image)) {
		t.Errorf("progress ends at %d, want %d", last, len(image))
	}
}

func TestEncodeStopsAtFaults(t *testing.T) {
	image := testImage(5*MinFrameSize, 4)
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	tests := []struct {
		name  string
		w     io.Writer
		size  int64
		spool io.ReadWriteSeeker
		want  string
	}{
		{"image is shorter than said", io.Discard, int64(len(image)) + 1, tempSpool(t), "unexpected EOF"},
		{"spool is full", io.Discard, int64(len(image)), full, "no space left"},
		{"output is full", full, int64(len(image)), tempSpool(t), "no space left"},
		{"spool loses bytes", io.Discard, int64(len(image)), forgetful{tempSpool(t)}, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Encode(context.Background(), tt.w, bytes.NewReader(image), tt.size, tt.spool, EncodeOptions{FrameSize: MinFrameSize, Workers: 1})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// forgetful is a spool that says that it wrote.
type forgetful struct{ *os.File }

func (f forgetful) Write(b []byte) (int, error) { return len(b), nil }

func TestEncodeStopsWithItsContext(t *testing.T) {
	image := testImage(20*MinFrameSize, 5)
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(done, total int64) { cancel() }
	_, err := Encode(ctx, io.Discard, bytes.NewReader(image), int64(len(image)), tempSpool(t),
		EncodeOptions{FrameSize: MinFrameSize, Progress: stop})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
