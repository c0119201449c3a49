package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// ranger is what install asks for.
type ranger interface {
	OpenRanges(ctx context.Context, name string, ranges iter.Seq2[int64, int64]) (io.ReadCloser, error)
}

// spans yields pairs of offset and length.
func spans(pairs ...int64) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if !yield(pairs[i], pairs[i+1]) {
				return
			}
		}
	}
}

func getRanges(t *testing.T, h http.HandlerFunc, pairs ...int64) (string, error) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	r := client.HTTPSource(mustURL(t, srv.URL), nil, client.HTTPOptions{}).(ranger)
	body, err := r.OpenRanges(context.Background(), "file", spans(pairs...))
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), err
}

func TestOpenRanges(t *testing.T) {
	for _, tt := range []struct {
		pairs []int64
		want  string
	}{
		{[]int64{3, 2}, "34"},
		{[]int64{0, 1, 5, 3, 19, 1}, "0567j"},
		{[]int64{10, 4, 16, 4}, "abcdghij"},
	} {
		if got, err := getRanges(t, serveRange, tt.pairs...); err != nil || got != tt.want {
			t.Errorf("%v: %q, %v", tt.pairs, got, err)
		}
	}
}

func TestOpenRangesUsesTheConnectionAgain(t *testing.T) {
	var connections atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(serveRange))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	r := client.HTTPSource(mustURL(t, srv.URL), nil, client.HTTPOptions{}).(ranger)
	for range 3 {
		body, err := r.OpenRanges(context.Background(), "file", spans(1, 2, 7, 2))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != "1278" {
			t.Fatalf("%q, %v", b, err)
		}
		body.Close()
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// answerParts answers with parts as they are written here, with "|" for the line ends of headers.
func answerParts(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "multipart/byteranges; boundary=xyz")
		w.WriteHeader(http.StatusPartialContent)
		for _, p := range parts {
			io.WriteString(w, "\r\n--xyz\r\n"+strings.ReplaceAll(p, "|", "\r\n"))
		}
		io.WriteString(w, "\r\n--xyz--\r\n")
	}
}

func TestOpenRangesRefuses(t *testing.T) {
	const first, second = "Content-Range: bytes 1-2/20||12", "Content-Range: bytes 7-8/20||78"
	if got, err := getRanges(t, answerParts(first, second), 1, 2, 7, 2); err != nil || got != "1278" {
		t.Fatalf("what is right: %q, %v", got, err)
	}
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"a server that ignores ranges": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, content) }, client.ErrNoRanges},
		"one range only": {func(w http.ResponseWriter, req *http.Request) {
			req.Header.Set("Range", "bytes=1-8")
			serveRange(w, req)
		}, client.ErrNoRanges},
		"no boundary": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "multipart/byteranges")
			w.WriteHeader(http.StatusPartialContent)
		}, client.ErrNoRanges},
		"another order":     {answerParts(second, first), client.ErrUnavailable},
		"a part is missing": {answerParts(first), client.ErrUnavailable},
		"a short part":      {answerParts("Content-Range: bytes 1-2/20||1", second), client.ErrUnavailable},
		"a longer range":    {answerParts("Content-Range: bytes 1-3/20||123", second), client.ErrUnavailable},
		"no range":          {answerParts("Content-Type: text/plain||12", second), client.ErrUnavailable},
		"a long header":     {answerParts("X: "+strings.Repeat("x", 1<<20)+"|Content-Range: bytes 1-2/20||12", second), client.ErrUnavailable},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
		}, client.ErrCaptive},
	} {
		if got, err := getRanges(t, tt.serve, 1, 2, 7, 2); !errors.Is(err, tt.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestOpenRangesOfAChangedFile(t *testing.T) {
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, n.Add(1)))
		req.Header.Del("If-Range")
		http.ServeContent(w, req, "file", time.Time{}, strings.NewReader(content))
	}))
	t.Cleanup(srv.Close)
	r := client.HTTPSource(mustURL(t, srv.URL), nil, client.HTTPOptions{}).(ranger)
	body, err := r.OpenRanges(context.Background(), "file", spans(1, 2, 7, 2))
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if _, err := r.OpenRanges(context.Background(), "file", spans(1, 2, 7, 2)); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
}
