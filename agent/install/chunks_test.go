package install

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware/chunk"
	"github.com/fairlead/fairlead/tufrepo/client"
)

const testChunk = 4 << 10

// chunkRelease is a release with chunks.
type chunkRelease struct {
	release
	chunks []byte
}

func makeChunks(t testing.TB, image []byte) chunkRelease {
	t.Helper()
	rel := makeRelease(t, image)
	spool, err := os.CreateTemp(t.TempDir(), "spool")
	must(t, err)
	defer spool.Close()
	var file bytes.Buffer
	c, err := chunk.Create(t.Context(), &file, bytes.NewReader(image), int64(len(image)), spool, chunk.Options{Size: testChunk})
	must(t, err)
	rel.manifest.Chunks = &c.File
	return chunkRelease{rel, file.Bytes()}
}

// fileSource serves files, and counts bytes and requests by name.
type fileSource struct {
	files map[string][]byte
	mu    sync.Mutex
	bytes map[string]int64
	asked map[string]int
	fault func(name string, n int) error // of the request number n for a file, from 0
}

func (r chunkRelease) source() *fileSource {
	return &fileSource{
		files: map[string][]byte{
			"blobs/" + r.manifest.Artifact.SHA256.String(): bytes.Clone(r.artifact),
			"blobs/" + r.manifest.Chunks.SHA256.String():   bytes.Clone(r.chunks),
		},
		bytes: map[string]int64{}, asked: map[string]int{},
	}
}

func (s *fileSource) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[name]
	s.asked[name]++
	if s.fault != nil {
		if err := s.fault(name, n); err != nil {
			return nil, err
		}
	}
	file, ok := s.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &countedReader{s, name, bytes.NewReader(file[offset : offset+length])}, nil
}

type countedReader struct {
	s    *fileSource
	name string
	r    io.Reader
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.mu.Lock()
	c.s.bytes[c.name] += int64(n)
	c.s.mu.Unlock()
	return n, err
}

func (c *countedReader) Close() error { return nil }

// partsSource gives several parts at once.
type partsSource struct {
	*fileSource
	requests atomic.Int64
	broken   bool
}

func (s *partsSource) OpenRanges(ctx context.Context, name string, parts iter.Seq2[int64, int64]) (io.ReadCloser, error) {
	s.requests.Add(1)
	if s.broken {
		return nil, client.ErrNoRanges
	}
	var all []io.Reader
	for offset, length := range parts {
		r, err := s.Open(ctx, name, offset, length)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return io.NopCloser(io.MultiReader(all...)), nil
}

// shuffled is an older image: files moved by odd distances, some are missing, one changed a little. known is how many bytes
// of the newer one it has in whole chunks that are not zeros.
func shuffled(image []byte) (old []byte, known int64) {
	cut := func(from, to int) []byte { return image[from*testChunk : to*testChunk] }
	old = slices.Concat([]byte("odd"), cut(200, 300), make([]byte, 5*testFrame+1), cut(20, 190), []byte{1}, cut(10, 18), make([]byte, 77))
	old[3+50*testChunk+5] ^= 1
	return old, int64(100+170-17+8-1) * testChunk
}

func noiseImage(frames int) []byte {
	image := make([]byte, frames*testFrame-100)
	fill(rand.New(rand.NewPCG(9, 9)), image)
	clear(image[5*testFrame : 6*testFrame+testChunk])
	return image
}

func chunkPlan(t testing.TB, rel chunkRelease, s Source, d Device, journal string, base io.ReaderAt) Plan {
	p := plan(t, &memorySource{release: rel.release}, d, journal)
	p.Source, p.Base, p.Limits.Request = s, base, 0
	p.BaseImage.Length = 64 * testFrame // no patch is from it
	return p
}

// fetched is how many bytes of artifact and chunks were sent, and of the artifact alone.
func (s *fileSource) fetched(rel chunkRelease) (all, artifact int64) {
	artifact = s.bytes["blobs/"+rel.manifest.Artifact.SHA256.String()]
	return artifact + s.bytes["blobs/"+rel.manifest.Chunks.SHA256.String()], artifact
}

func TestChunks(t *testing.T) {
	image := noiseImage(20)
	rel := makeChunks(t, image)
	old, known := shuffled(image)
	overhead := rel.manifest.Artifact.Head.Length + rel.manifest.Chunks.Head.Length
	total := int64(len(image)) - testFrame - testChunk + 100 // without zeros; a few bytes are added to a frame that has some
	other := make([]byte, len(image))
	fill(rand.New(rand.NewPCG(1, 2)), other)
	for _, c := range []struct {
		name       string
		slot, base []byte
		most       int64 // bytes fetched
	}{
		{"an older image in the base", other, old, total - known + overhead},
		{"another image", other, other, total + overhead},
		{"the image in the base", other, image, overhead},
		{"a long base", other, slices.Concat(old, other), total - known + overhead},
		{"the slot holds it where it is to be", slices.Concat(image[:100*testChunk], other[100*testChunk:]), other, total - 83*testChunk + overhead},
		{"the slot holds it further back", slices.Concat(make([]byte, 33*testFrame), image[:10*testFrame]), other, total + overhead},
		{"the base is empty", other, nil, total + overhead},
	} {
		for _, many := range []bool{true, false} {
			t.Run(c.name+map[bool]string{true: "/many", false: "/single"}[many], func(t *testing.T) {
				slot := fileSlot(t, 0)
				must(t, os.WriteFile(slot, c.slot, 0o600))
				s := rel.source()
				var src Source = s
				if many {
					src = &partsSource{fileSource: s}
				}
				d := openTestSlot(t, slot, SlotOptions{Capacity: 50 * testFrame})
				res, err := Run(t.Context(), chunkPlan(t, rel, src, d, fastDir(t), bytes.NewReader(c.base)))
				must(t, err)
				got, err := os.ReadFile(slot)
				must(t, err)
				if !bytes.Equal(got[:len(image)], image) {
					t.Fatal("the slot does not hold the image")
				}
				all, _ := s.fetched(rel)
				most := c.most
				if !many {
					most += 100 * minGap // gaps
				}
				if all > most || res.Fetched != all || res.Healed != 0 {
					t.Errorf("%d bytes were fetched, want at most %d: %+v", all, most, res)
				}
			})
		}
	}
}

// Whatever is wrong with base, index or chunks, the artifact brings what is missing.
func TestChunksFallBack(t *testing.T) {
	image := noiseImage(20)
	rel := makeChunks(t, image)
	old, _ := shuffled(image)
	chunks := "blobs/" + rel.manifest.Chunks.SHA256.String()
	var reads atomic.Int64
	for _, c := range []struct {
		name  string
		spoil func(s *fileSource)
		base  io.ReaderAt
		least int64 // bytes of the artifact
	}{
		{"no such blob", func(s *fileSource) { delete(s.files, chunks) }, bytes.NewReader(old), 1 << 20},
		{"it gets lost", func(s *fileSource) {
			s.fault = func(name string, n int) error {
				if name == chunks && n > 0 {
					return fs.ErrNotExist
				}
				return nil
			}
		}, bytes.NewReader(old), 1},
		{"another index", func(s *fileSource) { s.files[chunks][40] ^= 1 }, bytes.NewReader(old), 1 << 20},
		{"wrong chunks", func(s *fileSource) {
			b := s.files[chunks][rel.manifest.Chunks.Head.Length:]
			for i := range b {
				b[i] ^= 0x80
			}
		}, bytes.NewReader(old), 1},
		{"the base changes after it was searched", func(*fileSource) { reads.Store(0) },
			baseReader{bytes.NewReader(old), func(p []byte, _ int64) error {
				if reads.Add(int64(len(p))) > 3*int64(len(old)) {
					p[0] ^= 1
				}
				return nil
			}}, 1},
		{"the base cannot be read", func(*fileSource) {}, baseReader{bytes.NewReader(old), func([]byte, int64) error { return errors.New("bad block") }}, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			slot := fileSlot(t, 21*testFrame)
			s := rel.source()
			c.spoil(s)
			_, err := Run(t.Context(), chunkPlan(t, rel, &partsSource{fileSource: s}, openTestSlot(t, slot, SlotOptions{}), fastDir(t), c.base))
			must(t, err)
			checkSlot(t, slot, image)
			if _, artifact := s.fetched(rel); artifact < c.least+rel.manifest.Artifact.Head.Length {
				t.Errorf("only %d bytes of the artifact were fetched", artifact)
			}
		})
	}
}

// A source that cannot give several parts is asked for one after the other, and no more than once for several.
func TestChunksFromPlainServer(t *testing.T) {
	image := noiseImage(20)
	rel := makeChunks(t, image)
	old, known := shuffled(image)
	s := &partsSource{fileSource: rel.source(), broken: true}
	slot := fileSlot(t, 21*testFrame)
	_, err := Run(t.Context(), chunkPlan(t, rel, s, openTestSlot(t, slot, SlotOptions{}), fastDir(t), bytes.NewReader(old)))
	must(t, err)
	checkSlot(t, slot, image)
	if all, _ := s.fetched(rel); s.requests.Load() > 3 || all > int64(len(image))-known/2 {
		t.Errorf("%d requests for several parts, %d bytes", s.requests.Load(), all)
	}
}

// What an install that was interrupted has is not fetched again.
func TestChunksResume(t *testing.T) {
	image := noiseImage(20)
	rel := makeChunks(t, image)
	old, known := shuffled(image)
	s := rel.source()
	slot, journal := fileSlot(t, 21*testFrame), fastDir(t)
	run := func(ctx context.Context) error {
		d, err := OpenSlot(slot, SlotOptions{})
		must(t, err)
		defer d.Close()
		p := chunkPlan(t, rel, &partsSource{fileSource: s}, d, journal, bytes.NewReader(old))
		p.Limits.Workers = 1
		_, err = Run(ctx, p)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.fault = func(name string, n int) error {
		if strings.HasSuffix(name, rel.manifest.Chunks.SHA256.String()) && n == 3 {
			cancel()
		}
		return nil
	}
	if err := run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.fault = nil
	must(t, run(t.Context()))
	checkSlot(t, slot, image)
	once := int64(len(image)) - testFrame - testChunk - known + rel.manifest.Artifact.Head.Length + rel.manifest.Chunks.Head.Length
	if all, _ := s.fetched(rel); all > once+2*testFrame {
		t.Errorf("%d bytes were fetched, want at most %d", all, once)
	}
}

// A real server, through the real client.
func TestChunksOverHTTP(t *testing.T) {
	image := noiseImage(20)
	rel := makeChunks(t, image)
	old, known := shuffled(image)
	s := rel.source()
	var requests, sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		name := path.Join("blobs", path.Base(r.URL.Path))
		http.ServeContent(countingWriter{w, &sent}, r, "", time.Time{}, bytes.NewReader(s.files[name]))
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	must(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	src := client.HTTPSource(base, &http.Client{Transport: transport}, client.HTTPOptions{})
	slot := fileSlot(t, 21*testFrame)
	_, err = Run(t.Context(), chunkPlan(t, rel, src, openTestSlot(t, slot, SlotOptions{}), fastDir(t), bytes.NewReader(old)))
	must(t, err)
	checkSlot(t, slot, image)
	once := int64(len(image)) - testFrame - testChunk - known + rel.manifest.Artifact.Head.Length + rel.manifest.Chunks.Head.Length
	if sent.Load() > once+32<<10 || requests.Load() > 10 {
		t.Errorf("%d bytes in %d requests, want at most %d", sent.Load(), requests.Load(), once)
	}
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w countingWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}
