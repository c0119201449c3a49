package install

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
)

const benchImage = 1 << 30

// BenchmarkInstall installs 1 GiB of this machine's own files, an eighth of it zeros, from a web server on this machine
// into a file. With -short it is 64 MiB.
func BenchmarkInstall(b *testing.B) {
	size := int64(benchImage)
	if testing.Short() {
		size /= 16
	}
	dir := b.TempDir()
	image, artifact := filepath.Join(dir, "image"), filepath.Join(dir, "artifact")
	must(b, realImage(image, size))
	e, err := firmware.EncodeFile(b.Context(), image, artifact, firmware.EncodeOptions{})
	must(b, err)
	must(b, os.Remove(image))
	m := &firmware.Manifest{Schema: 1, Product: "base-unit", Hardware: []string{"bu-1"}, Version: "1.1.0", Counter: 2, Image: e.Image, Artifact: e.Artifact}
	source := fileServer(b, artifact, e.Artifact.SHA256.String())
	b.SetBytes(size)
	b.ReportMetric(float64(e.Artifact.Length)/1e6, "artifact-MB")
	for b.Loop() {
		b.StopTimer()
		path := filepath.Join(dir, "slot")
		os.Remove(path)
		d, err := OpenSlot(path, SlotOptions{Capacity: size})
		must(b, err)
		b.StartTimer()
		_, err = Run(b.Context(), Plan{Manifest: m, Source: source, Target: d, Slot: "b", Journal: b.TempDir()})
		must(b, err)
		must(b, d.Close())
	}
}

func fileServer(b *testing.B, artifact, digest string) Source {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(artifact)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		w.Header().Set("ETag", strconv.Quote(digest))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, f)
	}))
	b.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	must(b, err)
	transport := &http.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	return client.HTTPSource(base, &http.Client{Transport: transport}, client.HTTPOptions{})
}

// realImage packs files of this machine at multiples of 4 KiB, as a file system does, and leaves every eighth MiB zero.
// When the files run out it begins again.
func realImage(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	at, before := int64(0), int64(-1)
	for at < size && at > before {
		before = at
		for _, root := range []string{"/usr/local/go", "/usr/lib", "/usr/bin"} {
			err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
				if err != nil || at >= size || !e.Type().IsRegular() {
					return nil
				}
				n, err := appendFile(f, at, size-at, name)
				at = (at + n + 4095) &^ 4095
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	if at < size {
		return fmt.Errorf("this machine has files for %d bytes only", at)
	}
	for hole := int64(0); hole < size; hole += 8 << 20 {
		if _, err := f.WriteAt(make([]byte, 1<<20), hole); err != nil {
			return err
		}
	}
	return f.Close()
}

func appendFile(f *os.File, at, most int64, name string) (int64, error) {
	in, err := os.Open(name)
	if err != nil {
		return 0, nil
	}
	defer in.Close()
	return io.Copy(io.NewOffsetWriter(f, at), io.LimitReader(in, most))
}
