package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

const roundTrip = 200 * time.Millisecond

// farAway answers each request a round trip later, in the time of a bubble of synctest. It counts.
type farAway struct {
	*tuftest.Repo
	spoil func(n int, name string, resp *http.Response) // the n-th answer for this name, from 0

	mu        sync.Mutex
	asked     map[string]int
	now, most int // requests at once
	read      int64
}

func (f *farAway) RoundTrip(req *http.Request) (*http.Response, error) {
	name := strings.TrimPrefix(req.URL.Path, "/")
	f.mu.Lock()
	n := f.asked[name]
	f.asked[name]++
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.now--; f.mu.Unlock() }()
	select {
	case <-time.After(roundTrip):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	w := httptest.NewRecorder()
	f.Repo.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	if f.spoil != nil {
		f.spoil(n, name, resp)
	}
	resp.Body = countedBody{resp.Body, f}
	return resp, nil
}

// countedBody counts what is read of all bodies.
type countedBody struct {
	io.ReadCloser
	f *farAway
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.f.mu.Lock()
	b.f.read += int64(n)
	b.f.mu.Unlock()
	return n, err
}

// expectedRepo has base-unit 1.1.0, and what a direction says of it.
func expectedRepo(t testing.TB) (*tuftest.Repo, client.Expected) {
	r := newRepo(t)
	raw := manifest(t)
	path := firmware.TargetPath(product, "1.1.0")
	r.AddTarget(product, path, raw)
	r.PublishAll()
	return r, client.Expected{Path: path, Length: int64(len(raw)), SHA256: firmware.Sum(raw)}
}

// farDevice is a device far away from its repository. It is to be used in a bubble.
func farDevice(t testing.TB, r *tuftest.Repo) (*device, *farAway, client.AheadSource) {
	t.Helper()
	f := &farAway{Repo: r, asked: map[string]int{}}
	d := newDevice(t, r)
	source := client.HTTPSource(&url.URL{Scheme: "http", Host: "repository.test"}, &http.Client{Transport: f}, client.HTTPOptions{})
	d.config.Source = source
	d.restart()
	return d, f, source.(client.AheadSource)
}

// learn is what a device does before it installs.
func (d *device) learn(ctx context.Context, refresh func(context.Context) error, path string) (*firmware.Manifest, error) {
	if err := refresh(ctx); err != nil {
		return nil, err
	}
	found, err := d.client.Target(ctx, path)
	if err != nil {
		return nil, err
	}
	return d.client.Manifest(ctx, found)
}

// TestRoundTrips counts how many answers are waited for one after the other, until the manifest is verified and until the
// first byte of the artifact is there.
func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name            string
		ahead, directed bool
		manifest, blob  int
		asked           int
	}{
		{"as ever", false, false, 6, 7, 7},
		{"a release by its name", true, false, 4, 5, 7},
		{"a release by a direction", true, true, 4, 4, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, x := expectedRepo(t)
				r.Serve("blobs/artifact", []byte("artifact"))
				d, f, source := farDevice(t, r)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				refresh := d.client.Refresh
				start, next := time.Now(), time.Duration(0)
				if c.ahead {
					if x.Next = func(ctx context.Context, _ *firmware.Manifest) {
						next = time.Since(start)
						source.Ahead(ctx, "blobs/artifact", 0, 8, nil)
					}; !c.directed {
						x.Length, x.SHA256 = 0, firmware.Digest{}
					}
					refresh = func(ctx context.Context) error { return d.client.RefreshFor(ctx, x) }
				}
				_, err := d.learn(ctx, refresh, x.Path)
				must(t, err)
				if c.directed && next != roundTrip {
					t.Errorf("the artifact was asked for after %v, want a round trip", next)
				}
				if took := time.Since(start); took != time.Duration(c.manifest)*roundTrip {
					t.Errorf("the manifest took %v, want %d round trips", took, c.manifest)
				}
				body, err := source.Open(ctx, "blobs/artifact", 0, 8)
				must(t, err)
				defer body.Close()
				if b, err := io.ReadAll(body); err != nil || string(b) != "artifact" {
					t.Errorf("the artifact is %q, %v", b, err)
				}
				if took := time.Since(start); took != time.Duration(c.blob)*roundTrip {
					t.Errorf("the artifact took %v, want %d round trips", took, c.blob)
				}
				if n := len(r.Requests()); n != c.asked || f.most > 2 {
					t.Errorf("%d requests, want %d; %d at once", n, c.asked, f.most)
				}
			})
		})
	}
}

// TestAheadIsBelievedInNothing: whatever is answered to what is asked ahead, a device learns what it learns without, or
// fails as it fails without.
func TestAheadIsBelievedInNothing(t *testing.T) {
	body := func(b []byte) func(*http.Response) {
		return func(resp *http.Response) {
			resp.StatusCode, resp.ContentLength = http.StatusOK, int64(len(b))
			resp.Body = io.NopCloser(bytes.NewReader(b))
		}
	}
	status := func(code int) func(*http.Response) { return func(resp *http.Response) { resp.StatusCode = code } }
	hostile := map[string]func(*http.Response){
		"missing":   status(http.StatusNotFound),
		"broken":    status(http.StatusInternalServerError),
		"wrong":     body([]byte(`{"signed":{},"signatures":[]}`)),
		"empty":     body(nil),
		"a page":    body([]byte("<html>")),
		"too long":  body(make([]byte, 8<<20)),
		"stalled":   func(resp *http.Response) { resp.Body = io.NopCloser(stalled{resp.Request.Context()}) },
		"cut short": func(resp *http.Response) { resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{})) },
	}
	for name, suffix := range map[string]string{"manifest": "1.1.0.json", "role": product + ".json", "snapshot": ".snapshot.json", "targets": ".targets.json"} {
		for how, spoil := range hostile {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, x := expectedRepo(t)
					d, f, _ := farDevice(t, r)
					f.spoil = func(n int, file string, resp *http.Response) {
						if n == 0 && strings.HasSuffix(file, suffix) {
							spoil(resp)
						}
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					m, err := d.learn(ctx, func(ctx context.Context) error { return d.client.RefreshFor(ctx, x) }, x.Path)
					must(t, err)
					if m.Version != "1.1.0" {
						t.Errorf("learned of %s", m.Version)
					}
				})
			})
		}
	}
}

// stalled gives nothing.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line broke") }

// TestAheadHostileTimestamp: what only a signature tells is refused as ever, and the next refresh begins afresh.
func TestAheadHostileTimestamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, x := expectedRepo(t)
		d, f, _ := farDevice(t, r)
		must(t, d.refresh())
		before := d.versions()
		_, old := r.Newest("timestamp")
		r.PublishAll()
		for _, wrong := range [][]byte{bytes.Replace(old, []byte(`"version":`), []byte(`"version":1`), 1), []byte("{}"), nil} {
			f.asked = map[string]int{}
			f.spoil = func(_ int, file string, resp *http.Response) {
				if file == "metadata/timestamp.json" {
					resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(wrong)), int64(len(wrong))
				}
			}
			plain := d.refresh()
			ahead := d.client.RefreshFor(t.Context(), x)
			if plain == nil || ahead == nil || ahead.Error() != plain.Error() {
				t.Errorf("%.20q: %v, without asking ahead %v", wrong, ahead, plain)
			}
			if after := d.versions(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%.20q: trusts %v, before %v", wrong, after, before)
			}
		}
		f.spoil = nil
		must(t, d.client.RefreshFor(t.Context(), x))
	})
}

// TestAheadIsBounded: a server that gives without end fills little memory, and takes few connections.
func TestAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := expectedRepo(t)
		_, f, source := farDevice(t, r)
		f.spoil = func(_ int, _ string, resp *http.Response) {
			resp.StatusCode, resp.ContentLength, resp.Body = http.StatusOK, -1, io.NopCloser(bottomless{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 20 {
			source.Ahead(ctx, fmt.Sprintf("blobs/%d", i), 0, -1, nil)
		}
		time.Sleep(10 * roundTrip)
		synctest.Wait()
		if f.most > 2 || f.read > 2*(256<<10) {
			t.Errorf("%d requests at once, %d bytes read", f.most, f.read)
		}
		taken, err := source.Open(t.Context(), "blobs/1", 0, -1)
		must(t, err)
		if n, err := io.CopyN(io.Discard, taken, 1<<20); err != nil {
			t.Errorf("%d bytes of what was asked ahead: %v", n, err)
		}
		must(t, taken.Close())
		cancel()
		synctest.Wait()
		for i := range 2 { // as many fit again
			source.Ahead(t.Context(), fmt.Sprintf("blobs/again-%d", i), 0, -1, nil)
		}
		time.Sleep(2 * roundTrip)
		synctest.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.asked); n != 4 {
			t.Errorf("%d parts were asked for in the end, want 4", n)
		}
	})
}

type bottomless struct{}

func (bottomless) Read(p []byte) (int, error) { return len(p), nil }

// TestAheadKnowsTheCache: what the device has is not asked for.
func TestAheadKnowsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, x := expectedRepo(t)
		r.Hashes = true
		r.PublishAll()
		d, _, _ := farDevice(t, r)
		_, err := d.learn(t.Context(), d.client.Refresh, x.Path)
		must(t, err)
		d.restart()
		r.Requests()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err = d.learn(ctx, func(ctx context.Context) error { return d.client.RefreshFor(ctx, x) }, x.Path)
		must(t, err)
		got := r.Requests()
		if slices.ContainsFunc(got, func(name string) bool { return strings.HasSuffix(name, product+".json") }) || len(got) != 3 {
			t.Errorf("asked for %v, want root, timestamp and manifest", got)
		}
	})
}
