package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

const content = "0123456789abcdefghij"

// serveRange answers as a good server does.
func serveRange(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, req, "file", time.Time{}, strings.NewReader(content))
}

// raw answers with bytes of one's own making.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = buf.WriteString(answer)
		_ = buf.Flush()
	}
}

// redirects sends a client on n times, within the server.
func redirects(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if i, _ := strconv.Atoi(req.URL.Query().Get("i")); i < n {
			http.Redirect(w, req, fmt.Sprintf("%s?i=%d", req.URL.Path, i+1), http.StatusFound)
			return
		}
		serveRange(w, req)
	}
}

// status answers with a code and headers "Name: value".
func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = io.WriteString(w, content[:min(len(content), code/20)])
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\n"
const partial = "HTTP/1.1 206 Partial Content\r\n"

// TestHostileServer asks for bytes of a file. Want is what must come; or the
// error must match is.
func TestHostileServer(t *testing.T) {
	for name, c := range map[string]struct {
		serve          http.HandlerFunc
		file           string
		offset, length int64
		want           string
		is             error
	}{
		"whole":                          {serve: serveRange, length: -1, want: content},
		"first bytes":                    {serve: serveRange, length: 5, want: "01234"},
		"middle":                         {serve: serveRange, offset: 10, length: 5, want: "abcde"},
		"to the end":                     {serve: serveRange, offset: 15, length: -1, want: "fghij"},
		"nothing":                        {serve: raw("not even asked"), want: ""},
		"beyond the end":                 {serve: serveRange, offset: 15, length: 6, is: client.ErrUnavailable},
		"behind the end":                 {serve: serveRange, offset: 21, length: -1, is: client.ErrUnavailable},
		"range ignored":                  {serve: raw(ok + "Content-Length: 20\r\n\r\n" + content), offset: 10, length: 5, want: "abcde"},
		"range ignored, to end":          {serve: raw(ok + "Content-Length: 20\r\n\r\n" + content), offset: 15, length: -1, want: "fghij"},
		"range ignored, short":           {serve: raw(ok + "Content-Length: 20\r\n\r\n" + content), offset: 18, length: 5, is: client.ErrUnavailable},
		"range ignored, far":             {serve: raw(ok + "Content-Length: 9000000000\r\n\r\n"), offset: 9 << 20, length: 5, is: client.ErrNoRanges},
		"range ignored, far, to the end": {serve: raw(ok + "Content-Length: 9437189\r\n\r\n" + strings.Repeat("-", 9<<20) + "the e"), offset: 9 << 20, length: 5, want: "the e"},
		"no length, to end":              {serve: raw(ok + "\r\n" + content), length: -1, want: content},

		"empty answer":         {serve: raw(""), length: -1, is: client.ErrUnavailable},
		"not HTTP":             {serve: raw("SSH-2.0-OpenSSH\r\n"), length: -1, is: client.ErrUnavailable},
		"truncated at 0":       {serve: raw(ok + "Content-Length: 20\r\n\r\n"), length: -1, is: io.ErrUnexpectedEOF},
		"truncated at 1":       {serve: raw(ok + "Content-Length: 20\r\n\r\n0"), length: -1, is: io.ErrUnexpectedEOF},
		"truncated at last":    {serve: raw(ok + "Content-Length: 20\r\n\r\n" + content[:19]), length: -1, is: io.ErrUnexpectedEOF},
		"truncated chunk":      {serve: raw(ok + "Transfer-Encoding: chunked\r\n\r\n14\r\n0123"), length: -1, is: io.ErrUnexpectedEOF},
		"no last chunk":        {serve: raw(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n"), length: -1, is: io.ErrUnexpectedEOF},
		"truncated range":      {serve: raw(partial + "Content-Range: bytes 0-4/20\r\n\r\n0123"), length: 5, is: io.ErrUnexpectedEOF},
		"range too long":       {serve: raw(partial + "Content-Range: bytes 0-4/20\r\n\r\n0123456789"), length: 5, want: "01234"},
		"negative length":      {serve: raw(ok + "Content-Length: -1\r\n\r\n" + content), length: -1, is: client.ErrUnavailable},
		"two lengths":          {serve: raw(ok + "Content-Length: 20\r\nContent-Length: 21\r\n\r\n" + content), length: -1, is: client.ErrUnavailable},
		"huge length":          {serve: raw(ok + "Content-Length: 99999999999999999999\r\n\r\n"), length: -1, is: client.ErrUnavailable},
		"endless headers":      {serve: raw(ok + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 100) + "\r\n"), length: -1, is: client.ErrUnavailable},
		"endless interim":      {serve: raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 1000)+"\r\n\r\n", 100) + ok + "\r\n"), length: -1, is: client.ErrUnavailable},
		"bomb":                 {serve: status(200, "Content-Encoding: gzip"), length: -1, is: client.ErrUnavailable},
		"206 not asked for":    {serve: raw(partial + "Content-Range: bytes 0-19/20\r\n\r\n" + content), length: -1, is: client.ErrUnavailable},
		"no Content-Range":     {serve: raw(partial + "\r\n01234"), length: 5, is: client.ErrUnavailable},
		"two Content-Ranges":   {serve: raw(partial + "Content-Range: bytes 0-4/20\r\nContent-Range: bytes 0-4/20\r\n\r\n01234"), length: 5, is: client.ErrUnavailable},
		"range of other place": {serve: raw(partial + "Content-Range: bytes 5-9/20\r\n\r\n56789"), length: 5, is: client.ErrUnavailable},
		"range too wide":       {serve: raw(partial + "Content-Range: bytes 0-9/20\r\n\r\n0123456789"), length: 5, is: client.ErrUnavailable},
		"range too narrow":     {serve: raw(partial + "Content-Range: bytes 0-3/20\r\n\r\n0123"), length: 5, is: client.ErrUnavailable},
		"range not to the end": {serve: raw(partial + "Content-Range: bytes 5-9/20\r\n\r\n56789"), offset: 5, length: -1, is: client.ErrUnavailable},
		"range of nothing":     {serve: raw(partial + "Content-Range: bytes 5-4/20\r\n\r\n"), offset: 5, length: 5, is: client.ErrUnavailable},
		"range beyond total":   {serve: raw(partial + "Content-Range: bytes 0-4/3\r\n\r\n01234"), length: 5, is: client.ErrUnavailable},
		"range in other units": {serve: raw(partial + "Content-Range: lines 0-4/20\r\n\r\n01234"), length: 5, is: client.ErrUnavailable},
		"range is no range":    {serve: raw(partial + "Content-Range: bytes */20\r\n\r\n01234"), length: 5, is: client.ErrUnavailable},
		"range without total":  {serve: raw(partial + "Content-Range: bytes 0-4/*\r\n\r\n01234"), length: 5, want: "01234"},
		"range, other length":  {serve: raw(partial + "Content-Length: 6\r\nContent-Range: bytes 0-4/20\r\n\r\n012345"), length: 5, is: client.ErrUnavailable},

		"404":             {serve: status(404), length: -1, is: fs.ErrNotExist},
		"410":             {serve: status(410), length: -1, is: fs.ErrNotExist},
		"403":             {serve: status(403), length: -1, is: client.ErrUnavailable},
		"403 for a root":  {serve: status(403), file: "metadata/17.root.json", length: -1, is: fs.ErrNotExist},
		"404 web page":    {serve: status(404, "Content-Type: text/html"), length: -1, is: fs.ErrNotExist},
		"401":             {serve: status(401), length: -1, is: client.ErrUnavailable},
		"407":             {serve: status(407), length: -1, is: client.ErrUnavailable},
		"416":             {serve: status(416), offset: 5, length: 5, is: client.ErrUnavailable},
		"451":             {serve: status(451), length: -1, is: client.ErrUnavailable},
		"500":             {serve: status(500), length: -1, is: client.ErrUnavailable},
		"204":             {serve: status(204), length: -1, is: client.ErrUnavailable},
		"304":             {serve: status(304), length: -1, is: client.ErrUnavailable},
		"511":             {serve: status(511), length: -1, is: client.ErrCaptive},
		"web page":        {serve: status(200, "Content-Type: text/html; charset=utf-8"), length: -1, is: client.ErrCaptive},
		"login elsewhere": {serve: status(302, "Location: http://login.invalid/"), length: -1, is: client.ErrCaptive},
		"login by https": {serve: func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "https://"+req.Host+"/", http.StatusFound)
		}, length: -1, is: client.ErrCaptive},
		"redirect to a file": {serve: status(302, "Location: file:///etc/passwd"), length: -1, is: client.ErrCaptive},
		"redirect nowhere":   {serve: status(302), length: -1, is: client.ErrUnavailable},
		"redirect loop":      {serve: func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, req.URL.Path, http.StatusFound) }, length: -1, is: client.ErrUnavailable},
		"three redirects":    {serve: redirects(3), offset: 10, length: 5, want: "abcde"},
		"four redirects":     {serve: redirects(4), offset: 10, length: 5, is: client.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.serve)
			defer server.Close()
			source := client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{})
			if c.file == "" {
				c.file = "blobs/file"
			}
			got, err := readAll(source, c.file, c.offset, c.length)
			if c.is == nil && (err != nil || got != c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %q, %v, want %v", got, err, c.is)
			}
			if c.is != fs.ErrNotExist && errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v says that the file does not exist", err)
			}
			var typed *client.Error
			if c.is != nil && !errors.As(err, &typed) {
				t.Errorf("%v has no class", err)
			}
		})
	}
}

func readAll(s client.Source, name string, offset, length int64) (string, error) {
	r, err := s.Open(context.Background(), name, offset, length)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": 0, "0": 0, "-5": 0, "soon": 0, "315360000": time.Hour, "99999999999999999999": 0,
		today.Add(time.Minute).Format(http.TimeFormat): time.Minute, today.AddDate(10, 0, 0).Format(http.TimeFormat): time.Hour,
		today.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		for _, code := range []int{429, 503} {
			server := httptest.NewServer(status(code, "Retry-After: "+value))
			source := client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{Clock: func() time.Time { return today }})
			_, err := readAll(source, "blobs/x", 0, -1)
			var retry *client.RetryError
			if !errors.As(err, &retry) || retry.After != want || retry.Status != code || !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("Retry-After %q with %d: %v", value, code, err)
			}
			server.Close()
		}
	}
}

// TestFileChangesBetweenRanges: ranges of two versions are never spliced.
func TestFileChangesBetweenRanges(t *testing.T) {
	etag, file := `"v1"`, content
	var ifRange string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ifRange = req.Header.Get("If-Range")
		w.Header().Set("ETag", etag)
		http.ServeContent(w, req, "", time.Time{}, strings.NewReader(file))
	}))
	defer server.Close()
	source := client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{})
	if got, err := readAll(source, "blobs/x", 0, 5); err != nil || got != "01234" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := readAll(source, "blobs/x", 5, 5); err != nil || got != "56789" || ifRange != `"v1"` {
		t.Fatalf("%q, %v with If-Range %q", got, err, ifRange)
	}
	etag, file = `"v2"`, strings.ToUpper(content)
	if got, err := readAll(source, "blobs/x", 10, 5); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%q, %v, want to be told to start again", got, err)
	}
	if got, err := readAll(source, "blobs/x", 10, 5); err != nil || got != "ABCDE" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestRequestsAreLean(t *testing.T) {
	var got http.Header
	var uri string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, uri = req.Header, req.RequestURI
		http.SetCookie(w, &http.Cookie{Name: "track", Value: "me"})
		serveRange(w, req)
	}))
	defer server.Close()
	source := client.HTTPSource(mustURL(t, server.URL+"/some%2Fwhere/?q#f"), nil, client.HTTPOptions{})
	for range 2 {
		if _, err := readAll(source, "targets/a%20b/%3F.%2E", 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	if uri != "/some%2Fwhere/targets/a%20b/%3F.%2E" {
		t.Errorf("asked for %s", uri)
	}
	if got.Get("Accept-Encoding") != "identity" || got.Get("Cookie") != "" || got.Get("Range") != "" || len(got) != 2 {
		t.Errorf("sent %v", got)
	}
}

func TestBadAddress(t *testing.T) {
	for _, address := range []string{"", "ftp://host/", "file:///etc", "//host", "http:"} {
		source := client.HTTPSource(mustURL(t, address), nil, client.HTTPOptions{})
		if _, err := readAll(source, "blobs/x", 0, -1); !errors.Is(err, client.ErrConfig) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := readAll(client.HTTPSource(nil, nil, client.HTTPOptions{}), "x", 0, -1); !errors.Is(err, client.ErrConfig) {
		t.Errorf("no address: %v", err)
	}
}

// TestHostileLengths: metadata of a terabyte, announced or simply sent.
func TestHostileLengths(t *testing.T) {
	r := newRepo(t)
	for name, announce := range map[string]bool{"announced": true, "chunked": false} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if !strings.HasSuffix(req.URL.Path, "timestamp.json") {
					r.ServeHTTP(w, req)
					return
				}
				if announce {
					w.Header().Set("Content-Length", strconv.FormatInt(1<<40, 10))
				}
				for {
					if _, err := w.Write(make([]byte, 32<<10)); err != nil {
						return
					}
				}
			}))
			defer server.Close()
			d := newDevice(t, r)
			d.config.Source = client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{})
			d.restart()
			d.refuses(client.ErrTooLarge)
		})
	}
}

// TestPollNothingNew is what nearly every refresh is.
func TestPollNothingNew(t *testing.T) {
	r := newRepo(t)
	d := newHTTPDevice(t, r)
	d.mustRefresh()
	d.restart()
	r.Requests()
	before := snapshotDir(t, d.config.Dir)
	must(t, d.refresh())
	want := "[metadata/2.root.json metadata/timestamp.json]"
	if got := fmt.Sprint(r.Requests()); got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	if _, b := r.Newest("timestamp"); len(b) > 2<<10 {
		t.Errorf("the timestamp has %d bytes", len(b))
	}
	if after := snapshotDir(t, d.config.Dir); after != before {
		t.Errorf("wrote to its store:\n%s\nbefore:\n%s", after, before)
	}
}

// TestPollUsesOneConnection: handshakes cost more than all the rest.
func TestPollUsesOneConnection(t *testing.T) {
	r := newRepo(t)
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, ".root.json") {
			http.Error(w, `{"error":{"code":"not_found","message":"no such file"}}`, http.StatusNotFound)
			return
		}
		r.ServeHTTP(w, req)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	d := newDevice(t, r)
	d.config.Source = client.HTTPSource(mustURL(t, server.URL), server.Client(), client.HTTPOptions{})
	d.restart()
	for range 3 {
		d.mustRefresh()
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for three polls", n)
	}
}

func BenchmarkPollNothingNew(b *testing.B) {
	r := newRepo(b)
	var bytes, requests int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests++
		r.ServeHTTP(&counter{w, &bytes}, req)
	}))
	defer server.Close()
	d := newDevice(b, r)
	d.config.Source = client.HTTPSource(mustURL(b, server.URL), server.Client(), client.HTTPOptions{})
	d.restart()
	d.mustRefresh()
	bytes, requests = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if err := d.refresh(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/op")
	if requests != 2*int64(b.N) || bytes > 2048*int64(b.N) {
		b.Fatalf("%d requests and %d bytes in %d polls", requests, bytes, b.N)
	}
}

// counter counts the bytes of bodies.
type counter struct {
	http.ResponseWriter
	n *int64
}

func (c *counter) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return c.ResponseWriter.Write(p)
}
