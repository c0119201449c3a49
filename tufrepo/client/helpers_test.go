package client_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	must(t, err)
	return u
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }

func jsonRaw(b []byte) *json.RawMessage {
	raw := json.RawMessage(b)
	return &raw
}

// newHTTPDevice is newDevice with HTTP on the loopback in between.
func newHTTPDevice(t testing.TB, r *tuftest.Repo) *device {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	d := newDevice(t, r)
	d.config.Source = client.HTTPSource(mustURL(t, server.URL), server.Client(), client.HTTPOptions{})
	d.restart()
	return d
}

// manifest is the release manifest of base-unit 1.1.0, counter 3, for board-1.
func manifest(t testing.TB) []byte {
	t.Helper()
	blob := func(s string) firmware.Blob {
		return firmware.Blob{Length: int64(len(s)), SHA256: firmware.Sum([]byte(s))}
	}
	head, artifact := strings.Repeat("h", 32), strings.Repeat("a", 64)
	m := firmware.Manifest{
		Schema: 1, Product: product, Hardware: []string{"board-1"}, Version: "1.1.0", Counter: 3,
		Image: blob("image"), Artifact: firmware.Framed{Blob: blob(artifact), Head: blob(head)},
	}
	b, err := m.Encode()
	must(t, err)
	return b
}

// snapshotDir lists a folder's files with their sizes and times.
func snapshotDir(t testing.TB, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) == "lock" {
			return err
		}
		info, err := e.Info()
		fmt.Fprintln(&list, path, info.Size(), info.ModTime())
		return err
	})
	must(t, err)
	return list.String()
}
