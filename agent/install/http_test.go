package install

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// blobServer serves one artifact as a repository does, but for what fault does first. fault gets the number of the
// request, from 0, and says whether it answered.
func blobServer(t *testing.T, rel release, fault func(n int, w http.ResponseWriter, r *http.Request) bool) Source {
	t.Helper()
	var requests atomic.Int64
	digest := rel.manifest.Artifact.SHA256.String()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1)) - 1
		if r.URL.Path != "/blobs/"+digest {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", strconv.Quote(digest))
		w.Header().Set("Content-Type", "application/octet-stream")
		if fault == nil || !fault(n, w, r) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(rel.artifact))
		}
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return client.HTTPSource(base, &http.Client{Transport: transport}, client.HTTPOptions{Window: 100 * time.Millisecond, MinRate: 10})
}

// cutOff sends n bytes of a range that is to be longer, and closes the connection.
func cutOff(w http.ResponseWriter, r *http.Request, artifact []byte, n int) {
	var first, last int
	for _, part := range []struct {
		to   *int
		text string
	}{
		{&first, strings.TrimPrefix(strings.Split(r.Header.Get("Range"), "-")[0], "bytes=")},
		{&last, strings.Split(r.Header.Get("Range")+"-", "-")[1]},
	} {
		v, err := strconv.Atoi(part.text)
		if err != nil {
			panic("no range: " + r.Header.Get("Range"))
		}
		*part.to = v
	}
	w.Header().Set("Content-Range", "bytes "+strconv.Itoa(first)+"-"+strconv.Itoa(last)+"/"+strconv.Itoa(len(artifact)))
	w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
	w.WriteHeader(http.StatusPartialContent)
	if _, err := w.Write(artifact[first : first+min(n, last-first)]); err != nil {
		return
	}
	_ = http.NewResponseController(w).Flush()
}

// A real server, through the real client, in all its moods.
func TestHTTPFaults(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0))
	abort := func() { panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		name  string
		fault func(n int, w http.ResponseWriter, r *http.Request) bool
		want  error // nil: it gets over it
		text  string
		fired int // requests that met the fault, at least
	}{
		{name: "well", fault: func(int, http.ResponseWriter, *http.Request) bool { return false }},
		{name: "drops after a frame and a half", fired: 3, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 0 && n%2 == 0 {
				cutOff(w, r, rel.artifact, testFrame*3/2)
				abort()
			}
			return false
		}},
		{name: "drops after no byte", fired: 3, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 0 && n%2 == 0 {
				cutOff(w, r, rel.artifact, 0)
				abort()
			}
			return false
		}},
		{name: "stalls", fired: 1, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				cutOff(w, r, rel.artifact, testFrame/2)
				<-r.Context().Done()
				abort()
			}
			return false
		}},
		{name: "ignores ranges", fired: 4, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			r.Header.Del("If-Range")
			return false
		}},
		{name: "gives another range", fired: 1, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				r.Header.Set("Range", "bytes=0-99")
			}
			return false
		}},
		{name: "gives wrong bytes once", fired: 1, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, len(rel.artifact))))
			}
			return n == 2
		}},
		{name: "gives wrong bytes", fired: 2, want: ErrCorrupt, text: "wrong frames", fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 0 {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, len(rel.artifact))))
			}
			return n > 0
		}},
		{name: "is busy for a moment", fired: 1, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n == 2
		}},
		{name: "is busy for long", fired: 1, want: ErrUnavailable, text: "retry after", fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
			return n == 2
		}},
		{name: "has lost it", fired: 1, want: ErrUnavailable, text: "does not exist", fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				http.NotFound(w, r)
			}
			return n == 2
		}},
		{name: "is a login page", fired: 6, want: client.ErrCaptive, fault: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<html>welcome"))
			}
			return n > 1
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fired atomic.Int64
			path, journal := fileSlot(t, 1<<20), fastDir(t)
			p := plan(t, &memorySource{release: rel}, openTestSlot(t, path, SlotOptions{}), journal)
			good := p.Source
			p.Source = blobServer(t, rel, func(n int, w http.ResponseWriter, r *http.Request) bool {
				before := r.Header.Get("Range")
				defer func() {
					if e := recover(); e != nil {
						fired.Add(1)
						panic(e)
					}
				}()
				mine := c.fault(n, w, r)
				if mine || r.Header.Get("Range") != before {
					fired.Add(1)
				}
				return mine
			})
			_, err := Run(t.Context(), p)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want %v with %q", err, c.want, c.text)
			}
			if int(fired.Load()) < c.fired {
				t.Fatalf("the fault was met %d times, want %d", fired.Load(), c.fired)
			}
			if err != nil {
				p.Source = good
				if _, err := Run(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			checkSlot(t, path, rel.image)
		})
	}
}
