package client_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// packed is a zip with content under blobs/x, by method.
func packed(t *testing.T, method uint16) *zip.Reader {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "blobs/x", Method: method})
	must(t, err)
	_, err = io.WriteString(w, content)
	must(t, err)
	must(t, z.Close())
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	return r
}

func TestFSSource(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "blobs", "folder"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "x"), []byte(content), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("secret"), 0o600))
	for name, fsys := range map[string]fs.FS{"folder": os.DirFS(dir), "zip, stored": packed(t, zip.Store), "zip, deflated": packed(t, zip.Deflate)} {
		t.Run(name, func(t *testing.T) {
			source := client.FSSource(fsys)
			for _, c := range []struct {
				file           string
				offset, length int64
				want           string
				is             error
			}{
				{"blobs/x", 0, -1, content, nil}, {"blobs/x", 0, 5, "01234", nil}, {"blobs/x", 10, 5, "abcde", nil}, {"blobs/x", 15, -1, "fghij", nil},
				{"blobs/x", 20, -1, "", nil}, {"blobs/x", 5, 0, "", nil}, {"blobs/%78", 0, 1, "0", nil},
				{"blobs/x", 15, 6, "", io.ErrUnexpectedEOF}, {"blobs/x", 0, 1 << 40, "", io.ErrUnexpectedEOF},
				{"blobs/y", 0, -1, "", fs.ErrNotExist}, {"blobs/folder", 0, -1, "", fs.ErrNotExist}, {"blobs/../outside", 0, -1, "", fs.ErrNotExist},
				{"/blobs/x", 0, -1, "", fs.ErrNotExist}, {"blobs%2F..%2Foutside", 0, -1, "", fs.ErrNotExist}, {"", 0, -1, "", fs.ErrNotExist},
				{"blobs/%zz", 0, -1, "", fs.ErrNotExist}, {"blobs/x", -1, -1, "", fs.ErrNotExist},
			} {
				got, err := readAll(source, c.file, c.offset, c.length)
				if c.is == nil && (err != nil || got != c.want) || c.is != nil && (!errors.Is(err, c.is) || !errors.Is(err, client.ErrUnavailable)) {
					t.Errorf("%s from %d, %d bytes: %q, %v, want %q, %v", c.file, c.offset, c.length, got, err, c.want, c.is)
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := source.Open(ctx, "blobs/x", 0, -1); !errors.Is(err, context.Canceled) {
				t.Errorf("with an ended context: %v", err)
			}
		})
	}
}
