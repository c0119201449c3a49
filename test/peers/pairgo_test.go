package peers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The two releases of the Go toolchain, by side.
var goReleases = map[string]string{"old": "v0.0.1-go1.26.4.linux-amd64", "new": "v0.0.1-go1.26.5.linux-amd64"}

func buildGo(b testing.TB, c cache, dir string) {
	for _, side := range []string{"old", "new"} {
		makeImages(b, goTree(b, c, side), dir, side, 320)
	}
}

// goTree is a release of Go unpacked, with modes that do not depend on the module cache.
func goTree(b testing.TB, c cache, side string) string {
	return c.folder(b, filepath.Join("trees", "go-"+side), func(dir string) {
		var module struct{ Dir string }
		text := output(b, "go", "mod", "download", "-json", "golang.org/toolchain@"+goReleases[side])
		must(b, json.NewDecoder(strings.NewReader(text)).Decode(&module))
		must(b, os.CopyFS(dir, os.DirFS(module.Dir)))
	})
}
