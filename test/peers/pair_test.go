package peers

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pair is an old and a new image of one format.
type pair struct{ name, format, old, new string }

func (p pair) String() string { return p.name + "/" + p.format }

// builders make the pairs that this package knows, in the order in which they are measured.
var builders = []struct {
	name  string
	build func(b testing.TB, c cache, dir string)
}{
	{"go", buildGo},
	{"deb-month", func(b testing.TB, c cache, dir string) { buildDebian(b, c, dir, "month") }},
	{"deb-year", func(b testing.TB, c cache, dir string) { buildDebian(b, c, dir, "year") }},
	{"held", buildHeld},
	{"bin", buildBin},
	{"held-bin", buildHeldBin},
}

// cache is the folder that pairs, trees and the results of peers are kept in.
type cache string

func openCache(b testing.TB) cache {
	b.Helper()
	dir := os.Getenv("FAIRLEAD_PAIRS")
	if dir == "" {
		user, err := os.UserCacheDir()
		must(b, err)
		dir = filepath.Join(user, "fairlead-pairs")
	}
	dir, err := filepath.Abs(dir)
	must(b, err)
	must(b, os.MkdirAll(dir, 0o755))
	return cache(dir)
}

func (c cache) at(parts ...string) string {
	return filepath.Join(append([]string{string(c)}, parts...)...)
}

// folder returns the folder of that name, which build fills if it is not there. A folder that is there is complete.
func (c cache) folder(b testing.TB, name string, build func(dir string)) string {
	b.Helper()
	dir := c.at(name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	must(b, os.MkdirAll(filepath.Dir(dir), 0o755))
	partial, err := os.MkdirTemp(filepath.Dir(dir), ".partial-*")
	must(b, err)
	defer os.RemoveAll(partial)
	must(b, os.Chmod(partial, 0o755))
	say("making %s", dir)
	build(partial)
	must(b, os.Rename(partial, dir))
	return dir
}

// scratch is an empty folder on the disk of the pairs, for as long as the benchmark runs.
func (c cache) scratch(b testing.TB) string {
	b.Helper()
	dir, err := os.MkdirTemp(string(c), ".scratch-*")
	must(b, err)
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// eachPair runs measure as a benchmark of each pair that wanted says yes to, ours and foreign ones.
func eachPair(b *testing.B, wanted func(pair) bool, measure func(*testing.B, pair)) {
	c := openCache(b)
	for _, builder := range builders {
		if !wanted(pair{name: builder.name, format: "ext4"}) {
			continue // not worth making
		}
		b.Run(builder.name, func(b *testing.B) {
			dir := c.folder(b, builder.name, func(dir string) { builder.build(b, c, dir) })
			eachFormat(b, dir, wanted, measure)
		})
	}
	if extra := os.Getenv("FAIRLEAD_PAIRS_EXTRA"); extra != "" {
		dirs, err := filepath.Glob(filepath.Join(extra, "*"))
		must(b, err)
		for _, dir := range dirs {
			b.Run(filepath.Base(dir), func(b *testing.B) { eachFormat(b, dir, wanted, measure) })
		}
	}
}

func eachFormat(b *testing.B, dir string, wanted func(pair) bool, measure func(*testing.B, pair)) {
	for _, p := range pairsIn(b, dir) {
		if wanted(p) {
			b.Run(p.format, func(b *testing.B) { once(b, func() { measure(b, p) }) })
		}
	}
}

// pairsIn finds old.X with new.X; what is not compressed comes first.
func pairsIn(b testing.TB, dir string) []pair {
	b.Helper()
	olds, err := filepath.Glob(filepath.Join(dir, "old.*"))
	must(b, err)
	var found []pair
	for _, old := range olds {
		p := pair{filepath.Base(dir), strings.TrimPrefix(filepath.Base(old), "old."), old, ""}
		p.new = filepath.Join(dir, "new."+p.format)
		if _, err := os.Stat(p.new); err != nil {
			b.Fatalf("a pair without its other half: %v", err)
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(x, y pair) int {
		return cmp.Or(cmp.Compare(rank(x.format), rank(y.format)), cmp.Compare(x.format, y.format))
	})
	return found
}

func rank(format string) int {
	if i := slices.Index([]string{"ext4", "erofs", "erofs-lz4", "sqfs"}, format); i >= 0 {
		return i
	}
	return -1
}

// executables are pairs of single programs.
func executables(p pair) bool { return strings.HasSuffix(p.name, "bin") }

// images are all others.
func images(p pair) bool { return !executables(p) }

// named are our pairs of these names as ext4, and all images of foreign pairs.
func named(names ...string) func(pair) bool {
	return func(p pair) bool {
		for _, ours := range builders {
			if p.name == ours.name {
				return p.format == "ext4" && slices.Contains(names, p.name)
			}
		}
		return images(p)
	}
}
