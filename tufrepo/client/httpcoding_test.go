package client_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// coded is content in a coding.
func coded(t *testing.T, coding, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if coding == "zstd" {
		z, err := zstd.NewWriter(&b)
		must(t, err)
		w = z
	}
	_, err := io.WriteString(w, content)
	must(t, errors.Join(err, w.Close()))
	return b.Bytes()
}

// TestCodings: metadata that is read whole may come compressed, and nothing else; what is cut or is no such file is the
// server's fault.
func TestCodings(t *testing.T) {
	const file, said = "metadata/1.targets.json", "metadata metadata metadata"
	for name, c := range map[string]struct {
		header, coding string
		cut            int
		file           string
		offset, length int64
		want           string
		is             error
	}{
		"zstd":             {header: "zstd", coding: "zstd", file: file, length: -1, want: said},
		"gzip":             {header: "GZIP", coding: "gzip", file: file, length: -1, want: said},
		"zstd, cut":        {header: "zstd", coding: "zstd", cut: 3, file: file, length: -1, is: client.ErrUnavailable},
		"gzip, cut":        {header: "gzip", coding: "gzip", cut: 3, file: file, length: -1, is: client.ErrUnavailable},
		"gzip, no header":  {header: "gzip", coding: "gzip", cut: 40, file: file, length: -1, is: client.ErrUnavailable},
		"gzip is zstd":     {header: "gzip", coding: "zstd", file: file, length: -1, is: client.ErrUnavailable},
		"zstd is gzip":     {header: "zstd", coding: "gzip", file: file, length: -1, is: client.ErrUnavailable},
		"two codings":      {header: "gzip, zstd", coding: "gzip", file: file, length: -1, is: client.ErrUnavailable},
		"another coding":   {header: "br", coding: "gzip", file: file, length: -1, is: client.ErrUnavailable},
		"part of a file":   {header: "gzip", coding: "gzip", file: file, length: 5, is: client.ErrUnavailable},
		"a manifest":       {header: "gzip", coding: "gzip", file: "targets/cam/1.json", length: -1, is: client.ErrUnavailable},
		"a blob":           {header: "zstd", coding: "zstd", file: "blobs/00", length: -1, is: client.ErrUnavailable},
		"a director's one": {header: "zstd", coding: "zstd", file: "director/acme/1.root.json", length: -1, is: client.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			body := coded(t, c.coding, said)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Content-Encoding", c.header)
				_, _ = w.Write(body[:max(0, len(body)-c.cut)])
			}))
			defer server.Close()
			got, err := readAll(client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{}), c.file, c.offset, c.length)
			if c.is == nil && (err != nil || got != c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestBombs: a few kilobytes that become a gigabyte are no more than a file that is too long.
func TestBombs(t *testing.T) {
	r := newRepo(t)
	for _, coding := range []string{"zstd", "gzip"} {
		bomb := coded(t, coding, strings.Repeat("\x00", 64<<20))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !strings.HasSuffix(req.URL.Path, "timestamp.json") {
				r.ServeHTTP(w, req)
				return
			}
			w.Header().Set("Content-Encoding", coding)
			_, _ = w.Write(bomb)
		}))
		d := newDevice(t, r)
		d.config.Source = client.HTTPSource(mustURL(t, server.URL), nil, client.HTTPOptions{})
		d.restart()
		d.refuses(client.ErrTooLarge)
		server.Close()
	}
}
