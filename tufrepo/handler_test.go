package tufrepo

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

func served1(t *testing.T) (*world, *httptest.Server) {
	t.Helper()
	w := newWorld(t)
	w.publish(w.genesis())
	s := httptest.NewServer(w.repo.Handler(slog.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	return w, s
}

func get(t *testing.T, s *httptest.Server, method, name string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestHandlerServesEveryFile(t *testing.T) {
	w, s := served1(t)
	for name, content := range repotest.Snapshot(t, w.repo.dir) {
		if strings.HasPrefix(name, "state/") {
			continue
		}
		resp, body := get(t, s, "GET", name, "Accept-Encoding", "identity")
		sum := sha256.Sum256([]byte(content))
		tag := `"` + hex.EncodeToString(sum[:]) + `"`
		cache, kind := cacheForEver, "application/json"
		if name == bundle.TimestampName {
			cache = "no-cache"
		}
		if path.Dir(name) == "blobs" {
			kind = "application/octet-stream"
		}
		h := resp.Header
		if resp.StatusCode != 200 || body != content || h.Get("ETag") != tag || h.Get("Cache-Control") != cache || h.Get("Content-Type") != kind {
			t.Errorf("%s: %s, %d bytes of %d, headers %v", name, resp.Status, len(body), len(content), h)
		}
		if resp, body := get(t, s, "HEAD", name); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(content)) {
			t.Errorf("HEAD %s: %s, length %d, %d bytes", name, resp.Status, resp.ContentLength, len(body))
		}
		if resp, _ := get(t, s, "GET", name, "Accept-Encoding", "identity", "If-None-Match", tag); resp.StatusCode != 304 {
			t.Errorf("%s, not changed: %s", name, resp.Status)
		}
	}
}

func TestHandlerRanges(t *testing.T) {
	w, s := served1(t)
	name := "blobs/" + repotest.Files(t, w.repo.path("blobs"))[0]
	content := repotest.Snapshot(t, w.repo.dir)[name]
	tag := `"` + path.Base(name) + `"`
	for _, tc := range []struct {
		rng, match string
		status     int
		want       string
		contentRng string
	}{
		{"bytes=0-9", "", 206, content[:10], "bytes 0-9/"},
		{"bytes=10-", tag, 206, content[10:], "bytes 10-"},
		{"bytes=-5", "", 206, content[len(content)-5:], ""},
		{"bytes=5-9", `"something else"`, 200, content, ""},
		{"bytes=999999-", "", 416, "", "bytes */"},
	} {
		resp, body := get(t, s, "GET", name, "Range", tc.rng, "If-Range", tc.match)
		if tc.match == "" {
			resp, body = get(t, s, "GET", name, "Range", tc.rng)
		}
		if resp.StatusCode != tc.status || (tc.status < 300 && body != tc.want) || !strings.HasPrefix(resp.Header.Get("Content-Range"), tc.contentRng) {
			t.Errorf("%s: %s, %d bytes, Content-Range %q", tc.rng, resp.Status, len(body), resp.Header.Get("Content-Range"))
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	w, s := served1(t)
	outside := t.TempDir() + "/secret.json"
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, w.repo.path("metadata/7.root.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("1.root.json", w.repo.path("metadata/8.root.json")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.repo.path("metadata/9.root.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.repo.path("metadata/10.root.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	repotest.Put(t, w.repo.dir, "metadata/.tmp-1", []byte("half"))
	repotest.Put(t, w.repo.dir, "blobs/notes", []byte("mine"))
	for _, name := range []string{
		"", "metadata", "metadata/", "blobs/", "targets/base-unit/", "state/repository.json", "state/keys/timestamp.key",
		"metadata/2.root.json", "metadata/7.root.json", "metadata/8.root.json", "metadata/9.root.json", "metadata/10.root.json",
		"metadata/.tmp-1", "blobs/notes", "metadata/01.root.json", "metadata/1.ROOT.json", "metadata/1.timestamp.json",
		"metadata/../state/repository.json", "metadata/%2e%2e/state/repository.json", "metadata%2f1.root.json", "metadata/1.root%2ejson",
		"//metadata/1.root.json", "/metadata/1.root.json", "metadata//1.root.json", "metadata/1.root.json/", "metadata/1.root.json%00",
		`metadata\1.root.json`, "blobs/" + strings.Repeat("0", 64), "blobs/" + strings.Repeat("A", 64), "targets/base-unit/1.0.0.json",
	} {
		if status, body := raw(t, s, "GET /"+name); status != "404" || strings.Contains(body, "secret") {
			t.Errorf("%q: %s %q, want 404", name, status, body)
		}
	}
	resp, _ := get(t, s, "GET", "metadata/2.root.json")
	if resp.Header.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("404 has headers %v", resp.Header)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if resp, _ := get(t, s, method, bundle.TimestampName); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}

// raw sends a request line as it stands: net/http's client would tidy it up.
func raw(t *testing.T, s *httptest.Server, line string) (status, body string) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, line+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(all), " ")
	status, _, _ = strings.Cut(rest, " ")
	_, body, _ = strings.Cut(string(all), "\r\n\r\n")
	return status, body
}

func FuzzServed(f *testing.F) {
	for _, name := range []string{"metadata/timestamp.json", "metadata/1.root.json", "targets/p/" + strings.Repeat("0", 64) + ".1.0.json", "blobs/" + strings.Repeat("f", 64), "metadata/../x", "state/lock"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !served(name) {
			return
		}
		top, _, _ := strings.Cut(name, "/")
		if path.Clean(name) != name || strings.Contains(name, "..") || (top != "metadata" && top != "targets" && top != "blobs") || strings.ContainsAny(name, "\\\x00%?#\n") {
			t.Errorf("%q would be served", name)
		}
	})
}

// TestHandlerCodings: metadata goes compressed to whoever asks, each form with an ETag of its own; ranges, short files and
// blobs go as they are.
func TestHandlerCodings(t *testing.T) {
	w, s := served1(t)
	name := "metadata/1.root.json"
	content := repotest.Snapshot(t, w.repo.dir)[name]
	blob := "blobs/" + repotest.Files(t, w.repo.path("blobs"))[0]
	tags := map[string]string{}
	for _, tc := range []struct {
		name   string
		header []string
		coding string
	}{
		{name, []string{"Accept-Encoding", "zstd, gzip"}, "zstd"},
		{name, []string{"Accept-Encoding", "deflate, GZIP;q=1.0, zstd;q=0"}, "gzip"},
		{name, []string{"Accept-Encoding", "br, identity"}, ""},
		{name, []string{"Accept-Encoding", "gzip", "Range", "bytes=0-9"}, ""},
		{bundle.TimestampName, []string{"Accept-Encoding", "gzip"}, ""},
		{blob, []string{"Accept-Encoding", "gzip"}, ""},
	} {
		resp, body := get(t, s, "GET", tc.name, tc.header...)
		if resp.Header.Get("Content-Encoding") != tc.coding {
			t.Errorf("%s, %v: %v", tc.name, tc.header, resp.Header)
			continue
		}
		if tc.coding == "" {
			continue
		}
		if len(body) >= len(content) || int64(len(body)) != resp.ContentLength || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s in %s: %d bytes of %d, headers %v", tc.name, tc.coding, len(body), len(content), resp.Header)
		}
		tags[tc.coding] = resp.Header.Get("ETag")
		if resp, body := get(t, s, "GET", tc.name, append(tc.header, "If-None-Match", tags[tc.coding])...); resp.StatusCode != 304 || body != "" {
			t.Errorf("%s in %s, not changed: %s", tc.name, tc.coding, resp.Status)
		}
	}
	if len(tags) != 2 || tags["zstd"] == tags["gzip"] {
		t.Errorf("ETags %v", tags)
	}
}
