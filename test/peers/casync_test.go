package peers

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chunkStore is an image as casync keeps it: an index, and a folder of compressed chunks of 16 to 256 KiB, 64 on average.
type chunkStore struct{ dir, index string }

func makeChunks(b testing.TB, dir, image string) chunkStore {
	b.Helper()
	need(b, "casync")
	s := chunkStore{filepath.Join(dir, "store"), filepath.Join(dir, "image.caibx")}
	must(b, os.MkdirAll(dir, 0o755))
	run(b, "casync", "make", "--chunk-size=16384:65536:262144", "--store="+s.dir, s.index, image)
	return s
}

// chunks are the lengths of the compressed chunks by their names, which are hashes of what is in them.
func (s chunkStore) chunks(b testing.TB) map[string]int64 {
	b.Helper()
	lengths := map[string]int64{}
	must(b, filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".cacnk") {
			lengths[d.Name()] = size(b, path)
		}
		return err
	}))
	return lengths
}

// casyncInstaller extracts over HTTP, with nothing at hand.
func casyncInstaller(b testing.TB, c cache, p pair, s slot) installer {
	b.Helper()
	dir := c.scratch(b)
	store := makeChunks(b, dir, p.new)
	carried := size(b, store.index)
	for _, length := range store.chunks(b) {
		carried += length
	}
	url := serveFiles(b, dir, "127.0.0.1")
	return installer{
		name: "casync (" + version(b, "casync") + "), HTTP", remote: true, carried: carried,
		install: func() usage {
			return run(b, "casync", "extract", "--seed-output=no", "--store="+url+"/store", url+"/image.caibx", s.device)
		},
	}
}
