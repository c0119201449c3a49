package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
)

// noise is n bytes that nothing compresses.
func noise(seed uint64, n int) []byte {
	r, b := rand.New(rand.NewPCG(seed, 1)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// create makes a file of chunks.
func create(t testing.TB, image []byte, o chunk.Options) (file []byte, c chunk.Created) {
	t.Helper()
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	c, err = chunk.Create(context.Background(), &out, bytes.NewReader(image), int64(len(image)), spool, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), c
}

func parse(t testing.TB, file []byte, c chunk.Created) *chunk.Index {
	t.Helper()
	x, err := chunk.Parse(file[:c.File.Head.Length])
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// mixed is noise, text and zeros, of a length that no chunk size divides.
func mixed() []byte {
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog, "), 900)
	return slices.Concat(noise(1, 50_000), make([]byte, 70_000), text, make([]byte, 20_000), noise(2, 33_333), text[:777])
}

func TestUnpackMakesTheImage(t *testing.T) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 4 << 20} {
		for _, image := range [][]byte{mixed(), mixed()[:size&0xffff], make([]byte, 100_000), {1}, nil} {
			file, c := create(t, image, chunk.Options{Size: size, Workers: 3})
			if c.Image != (firmware.Blob{Length: int64(len(image)), SHA256: firmware.Sum(image)}) || c.File.Blob != (firmware.Blob{Length: int64(len(file)), SHA256: firmware.Sum(file)}) {
				t.Fatalf("size %d: Created %+v", size, c)
			}
			if x := parse(t, file, c); !bytes.Equal(x.Encode(), file[:c.File.Head.Length]) || x.Len() != c.Chunks || x.Size() != size {
				t.Fatalf("size %d: the index is not what was written", size)
			}
			var got bytes.Buffer
			if _, err := chunk.Unpack(context.Background(), &got, bytes.NewReader(file), nil); err != nil || !bytes.Equal(got.Bytes(), image) {
				t.Fatalf("size %d, %d bytes: %v", size, len(image), err)
			}
		}
	}
}

func TestWorkersMakeNoDifference(t *testing.T) {
	one, _ := create(t, mixed(), chunk.Options{Size: 8 << 10, Workers: 1})
	many, _ := create(t, mixed(), chunk.Options{Size: 8 << 10, Workers: 4})
	if !bytes.Equal(one, many) {
		t.Error("four workers made another file than one")
	}
}

// found scans an image in sections and checks that what was found is there.
func found(t *testing.T, x *chunk.Index, image, old []byte, sections int) (chunks []int) {
	t.Helper()
	f := x.NewFinder()
	for i := range sections {
		from, to := i*len(old)/sections, (i+1)*len(old)/sections
		err := f.Scan(context.Background(), bytes.NewReader(old), int64(from), int64(to), func(at int64) int64 { return at })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range x.Len() {
		at, ok := f.Found(i)
		if !ok {
			continue
		}
		chunks = append(chunks, i)
		c := x.Chunk(i)
		if !bytes.Equal(old[at:at+c.Length], image[c.At:c.At+c.Length]) {
			t.Errorf("chunk %d is not at %d", i, at)
		}
	}
	return chunks
}

func TestFinderFindsWhatMovedByAnyDistance(t *testing.T) {
	const size = 4 << 10
	image := noise(3, 100*size+5)
	file, c := create(t, image, chunk.Options{Size: size})
	x := parse(t, file, c)
	old := slices.Concat(noise(4, 12_345), image[40*size:90*size], make([]byte, 700_000), image[:10*size], []byte{7}, image[10*size:20*size+1])
	var want []int
	for i := range 20 {
		want = append(want, i)
	}
	for i := 40; i < 90; i++ {
		want = append(want, i)
	}
	for _, sections := range []int{1, 2, 7} {
		if got := found(t, x, image, old, sections); !slices.Equal(got, want) {
			t.Errorf("%d sections: found %v", sections, got)
		}
	}
}

func TestFinderNamesEveryPlaceOfOneChunk(t *testing.T) {
	const size = 4 << 10
	part := noise(5, size)
	image := slices.Concat(part, noise(6, size), part, part, make([]byte, 3*size))
	file, c := create(t, image, chunk.Options{Size: size})
	if got := found(t, parse(t, file, c), image, part, 1); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("found %v", got)
	}
}

func TestFinderBesideZeros(t *testing.T) {
	const size = 4 << 10
	image := slices.Concat(noise(7, 10), make([]byte, size-10), make([]byte, size-1), []byte{1})
	file, c := create(t, image, chunk.Options{Size: size})
	old := slices.Concat(make([]byte, 1<<20), image[:size], make([]byte, 600_001), image[size:], make([]byte, 300_000))
	if got := found(t, parse(t, file, c), image, old, 1); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("found %v", got)
	}
}

func TestShortOld(t *testing.T) {
	image := noise(8, 20_000)
	file, c := create(t, image, chunk.Options{Size: 16 << 10})
	for _, n := range []int{0, 1, 16<<10 - 1} {
		if got := found(t, parse(t, file, c), image, image[:n], 1); got != nil {
			t.Errorf("%d bytes: found %v", n, got)
		}
	}
}

func TestScanStops(t *testing.T) {
	image := noise(9, 1<<20)
	file, c := create(t, image, chunk.Options{})
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrClosedPipe)
	err := parse(t, file, c).NewFinder().Scan(ctx, bytes.NewReader(image), 0, 1<<20, func(at int64) int64 { return at })
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestHashIsPinned(t *testing.T) {
	// Computed by hand of the definition, with Python's integers.
	if got := chunk.Hash([]byte("fairlead")); got != 0x5bc1e01034838824 {
		t.Errorf("%#x", got)
	}
}

func TestParseRefuses(t *testing.T) {
	file, c := create(t, mixed(), chunk.Options{Size: 16 << 10})
	head := file[:c.File.Head.Length]
	for name, change := range map[string]func(b []byte) []byte{
		"empty":              func(b []byte) []byte { return nil },
		"another magic":      func(b []byte) []byte { b[3] = 'A'; return b },
		"a later format":     func(b []byte) []byte { b[8]++; return b },
		"tiny chunks":        func(b []byte) []byte { b[11] = 11; return b },
		"huge chunks":        func(b []byte) []byte { b[11] = 23; return b },
		"size of 2^63":       func(b []byte) []byte { b[11] = 63; return b },
		"a longer index":     func(b []byte) []byte { b[12]++; return b },
		"a longer image":     func(b []byte) []byte { b[16]++; b[18]++; return b },
		"an endless image":   func(b []byte) []byte { b[23] = 0xff; return b },
		"a longer file":      func(b []byte) []byte { b[24]++; return b },
		"cut off":            func(b []byte) []byte { b = b[:len(b)-1]; b[12]--; return b },
		"something after it": func(b []byte) []byte { b[12]++; return append(b, 0) },
		"stored too long":    func(b []byte) []byte { b[32], b[33], b[34] = 0x81, 0x80, 1+1<<1; return b },
		"a long zero":        func(b []byte) []byte { b[32], b[33] = 0x80, 0; return b },
		"no run":             func(b []byte) []byte { b[32], b[33] = 0, 0; return b },
		"a run too long":     func(b []byte) []byte { b[32], b[33] = 0, 0x7f; return b },
	} {
		x, err := chunk.Parse(change(slices.Clone(head)))
		if x != nil && err == nil || !errors.Is(err, firmware.ErrCorrupt) && !errors.Is(err, firmware.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	file, c := create(t, mixed(), chunk.Options{Size: 16 << 10})
	for name, change := range map[string]func(b []byte) []byte{
		"the first stored byte": func(b []byte) []byte { b[c.File.Head.Length] ^= 1; return b },
		"the last stored byte":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a hash to find by":     func(b []byte) []byte { b[32+3+1] ^= 1; return b },
		"cut off":               func(b []byte) []byte { return b[:len(b)-1] },
		"half an index":         func(b []byte) []byte { return b[:40] },
		"half a header":         func(b []byte) []byte { return b[:20] },
	} {
		if _, err := chunk.Unpack(context.Background(), io.Discard, bytes.NewReader(change(slices.Clone(file))), nil); !errors.Is(err, firmware.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, o := range map[string]chunk.Options{"small": {Size: 2 << 10}, "large": {Size: 8 << 20}, "odd": {Size: 5000}} {
		_, err := chunk.Create(context.Background(), io.Discard, bytes.NewReader(nil), 0, nil, o)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := chunk.Create(context.Background(), io.Discard, bytes.NewReader(nil), 1<<40, nil, chunk.Options{}); err == nil {
		t.Error("an image of 1 TiB: no error")
	}
	if _, err := chunk.CreateFile(context.Background(), filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "out"), chunk.Options{}); err == nil {
		t.Error("an image that is not there: no error")
	}
}

func TestDefaultSize(t *testing.T) {
	for length, want := range map[int64]int{0: 16 << 10, 1 << 30: 16 << 10, 1<<30 + 1: 32 << 10, firmware.MaxImage: 4 << 20} {
		if got := chunk.DefaultSize(length); got != want {
			t.Errorf("%d: %d", length, got)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	file, _ := create(f, mixed(), chunk.Options{Size: 16 << 10})
	f.Add(file)
	small, _ := create(f, append(make([]byte, 9000), 1, 2, 3), chunk.Options{Size: 4 << 10})
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		var image counter
		x, err := chunk.Unpack(context.Background(), &image, bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		if int64(image) != x.ImageLength() || !bytes.HasPrefix(b, x.Encode()) {
			t.Errorf("%d bytes of an image of %d, or another index", image, x.ImageLength())
		}
	})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func BenchmarkScan(b *testing.B) {
	image := noise(10, 8<<20)
	file, c := create(b, image, chunk.Options{})
	x, err := chunk.Parse(file[:c.File.Head.Length])
	if err != nil {
		b.Fatal(err)
	}
	old := noise(11, 64<<20)
	b.SetBytes(int64(len(old)))
	for b.Loop() {
		if err := x.NewFinder().Scan(context.Background(), bytes.NewReader(old), 0, int64(len(old)), func(at int64) int64 { return at }); err != nil {
			b.Fatal(err)
		}
	}
}
