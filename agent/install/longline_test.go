package install

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// A line of 2 Mbit/s with a round trip of 200 ms, and windows of little more than what can be under way.
const (
	lineRate    = 250_000 // bytes a second
	lineLatency = 100 * time.Millisecond
	lineWindow  = 60_000
)

// wire is one direction of the line, which all connections share.
type wire struct {
	mu   sync.Mutex
	free time.Time // when all is sent that was to be
}

// send returns when n bytes arrive that are to be sent now.
func (w *wire) send(n int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(n) * time.Second / lineRate)
	return w.free.Add(lineLatency)
}

// way is one direction of a connection over that line, in the time of a bubble of synctest.
type way struct {
	line     *wire
	mu       sync.Mutex
	changed  *sync.Cond
	parcels  []parcel
	length   int       // of all parcels
	deadline time.Time // of reads
	closed   bool
}

type parcel struct {
	bytes []byte
	at    time.Time
}

func newWay(line *wire) *way {
	w := &way{line: line}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *way) write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 {
		for w.length >= lineWindow && !w.closed {
			w.changed.Wait()
		}
		if w.closed {
			return n, io.ErrClosedPipe
		}
		part := bytes.Clone(p[:min(len(p), 1400)])
		w.parcels = append(w.parcels, parcel{part, w.line.send(len(part))})
		w.length += len(part)
		n, p = n+len(part), p[len(part):]
		w.changed.Broadcast()
	}
	return n, nil
}

func (w *way) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		wait := time.Duration(-1)
		switch now := time.Now(); {
		case !w.deadline.IsZero() && !now.Before(w.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(w.parcels) > 0 && !now.Before(w.parcels[0].at):
			n := copy(p, w.parcels[0].bytes)
			if w.length -= n; n == len(w.parcels[0].bytes) {
				w.parcels = w.parcels[1:]
			} else {
				w.parcels[0].bytes = w.parcels[0].bytes[n:]
			}
			w.changed.Broadcast()
			return n, nil
		case len(w.parcels) > 0:
			wait = w.parcels[0].at.Sub(now)
		case w.closed:
			return 0, io.EOF
		}
		if wait > 0 {
			timer := time.AfterFunc(wait, w.changed.Broadcast)
			w.changed.Wait()
			timer.Stop()
			continue
		}
		w.changed.Wait()
	}
}

func (w *way) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
}

// lineConn is one end of a connection.
type lineConn struct{ in, out *way }

func (c lineConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c lineConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c lineConn) Close() error {
	c.in.set(func() { c.in.closed, c.in.parcels, c.in.length = true, nil, 0 })
	c.out.set(func() { c.out.closed = true })
	return nil
}
func (c lineConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c lineConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c lineConn) SetWriteDeadline(time.Time) error { return nil }
func (c lineConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c lineConn) SetReadDeadline(t time.Time) error {
	c.in.set(func() { c.in.deadline = t })
	return nil
}

// longLine serves an artifact over the line, until stop.
func longLine(t *testing.T, rel release) (source Source, stop func()) {
	up, down := new(wire), new(wire)
	conns := make(chan net.Conn)
	done := make(chan struct{})
	digest := rel.manifest.Artifact.SHA256.String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", strconv.Quote(digest))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(rel.artifact))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(lineListener{conns, done}) })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		time.Sleep(2 * lineLatency)
		to, from := newWay(up), newWay(down)
		conns <- lineConn{in: to, out: from}
		return lineConn{in: from, out: to}, nil
	}}
	base, err := url.Parse("http://repository.test")
	must(t, err)
	return client.HTTPSource(base, &http.Client{Transport: transport}, client.HTTPOptions{}), func() {
		transport.CloseIdleConnections()
		close(done)
		_ = server.Close()
		serving.Wait()
	}
}

type lineListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l lineListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l lineListener) Close() error   { return nil }
func (l lineListener) Addr() net.Addr { return &net.TCPAddr{} }

// An install takes as long as the line takes for the bytes, whatever the round trip, and little more: in one piece, in
// many requests, and where half of the frames are there already, here and there.
func TestLongLine(t *testing.T) {
	noise := func(frames int) []byte {
		image := testImage(4*frames, 0)
		for i := range frames { // every fourth frame of a test image is noise
			copy(image[i*testFrame:], image[(4*i+2)*testFrame:][:testFrame])
		}
		return image[:frames*testFrame]
	}
	rel := makeRelease(t, noise(80))
	for _, c := range []struct {
		name    string
		request int64
		keep    func(frame int) bool
		most    float64 // of the time that the line takes for the bytes that are missing
	}{
		{"in one piece", 0, func(int) bool { return false }, 1.02},
		{"in many requests", 1 << 20, func(int) bool { return false }, 1.04},
		{"in requests of a frame", testFrame, func(int) bool { return false }, 1.045},
		{"every other eight frames", 0, func(i int) bool { return i/8%2 == 0 }, 1.05},
		{"every other frame", 0, func(i int) bool { return i%2 == 0 }, 1.06},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, journal := shmSlot(t, 1), fastDir(t)
			missing := keepFrames(t, rel, path, journal, c.keep)
			synctest.Test(t, func(t *testing.T) {
				d := openTestSlot(t, path, SlotOptions{Capacity: 1 << 30})
				source, stop := longLine(t, rel)
				start := time.Now()
				res, err := Run(t.Context(), Plan{Manifest: rel.manifest, Source: source, Target: d, Slot: "b", Journal: journal, Limits: Limits{Request: c.request}})
				took := time.Since(start)
				stop()
				must(t, err)
				limit := time.Duration(float64(missing) / lineRate * float64(time.Second))
				if ratio := float64(took) / float64(limit); ratio > c.most || ratio < 1 {
					t.Errorf("%v for %d bytes that were missing, %.3f of what the line takes, want at most %.2f; %+v", took, missing, ratio, c.most, res)
				}
			})
			checkSlot(t, path, rel.image)
		})
	}
}

// keepFrames makes a slot and a journal as an install leaves them that has brought some frames, and returns how many
// bytes are missing.
func keepFrames(t *testing.T, rel release, path, dir string, keep func(frame int) bool) (missing int64) {
	t.Helper()
	missing = int64(len(rel.artifact))
	half := bytes.Clone(rel.image)
	r := newRecord("b", rel.manifest)
	for i := range rel.head.Len() {
		f := rel.head.Frame(i)
		if !keep(i) {
			clear(half[f.At : f.At+f.Length])
			continue
		}
		missing -= f.Stored
		r.Durable = r.Durable.with(Extent{f.At, f.Length})
	}
	must(t, os.WriteFile(path, half, 0o600))
	if len(r.Durable) == 0 {
		return missing
	}
	r.Durable = r.Durable[:min(len(r.Durable), maxRuns)]
	j := journal{dir: dir, now: r}
	must(t, j.save())
	must(t, os.WriteFile(filepath.Join(dir, "artifact.head"), rel.artifact[:rel.head.HeadLength()], 0o600))
	return missing - rel.head.HeadLength()
}

// What was fetched is not fetched again when the line breaks, were it in the middle of a frame.
func TestBreaksCostNoByte(t *testing.T) {
	rel := makeRelease(t, testImage(30, 0))
	for _, every := range []int64{20_000, 70_000, 150_000} {
		s := &memorySource{release: rel}
		given := int64(0)
		s.open = func(_ int, offset, length int64) (io.ReadCloser, error) {
			return &countingReader{io.MultiReader(io.LimitReader(s.at(offset, length), every), errReader{}), &given}, nil
		}
		path := fileSlot(t, 1)
		p := plan(t, s, openTestSlot(t, path, SlotOptions{Capacity: 1 << 30}), fastDir(t))
		p.Limits.Request = 0
		res, err := Run(t.Context(), p)
		must(t, err)
		if want := int64(len(rel.artifact)); given != want || res.Fetched != want {
			t.Errorf("breaking every %d bytes: %d bytes were given, %d counted, the artifact has %d", every, given, res.Fetched, want)
		}
		checkSlot(t, path, rel.image)
	}
}

type countingReader struct {
	io.Reader
	n *int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.n += int64(n)
	return n, err
}

func (r *countingReader) Close() error { return nil }

// The index of an install that was interrupted is not fetched again, unless what was kept of it is not the index.
func TestHeadIsKept(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0))
	for name, spoil := range map[string]func(path string) error{
		"kept": func(string) error { return nil },
		"lost": os.Remove,
		"spoilt": func(path string) error {
			return os.WriteFile(path, flipped(rel.artifact[:rel.head.HeadLength()], 40), 0o600)
		},
		"too long": func(path string) error { return os.WriteFile(path, rel.artifact[:rel.head.HeadLength()+1], 0o600) },
	} {
		journal := fastDir(t)
		d := openTestSlot(t, fileSlot(t, 1<<20), SlotOptions{})
		broken := &memorySource{release: rel}
		broken.open = func(n int, _, _ int64) (io.ReadCloser, error) {
			if n > 1 {
				return nil, errLine
			}
			return nil, nil
		}
		if _, err := Run(t.Context(), plan(t, broken, d, journal)); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		must(t, spoil(journal+"/artifact.head"))
		s := &memorySource{release: rel}
		_, err := Run(t.Context(), plan(t, s, d, journal))
		must(t, err)
		if again := s.asked[0].Offset == 0; again != (name != "kept") {
			t.Errorf("%s: the first request is for %+v", name, s.asked[0])
		}
	}
}
