package peers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patcher makes patches and applies them. Both give a command line.
type patcher struct {
	name, tool string
	create     func(old, new, patch string) []string
	apply      func(old, patch, new string) []string
}

func fairleadPatcher(bin string) patcher {
	sign := filepath.Join(bin, "fairlead-sign")
	return patcher{
		name: "fairlead", tool: "fairlead-sign",
		create: func(old, new, patch string) []string {
			return []string{sign, "delta", "create", "--from", old, "--to", new, "--out", patch}
		},
		apply: func(old, patch, new string) []string {
			return []string{sign, "delta", "apply", "--from", old, "--patch", patch, "--out", new}
		},
	}
}

func xdelta() patcher {
	return patcher{
		name: "xdelta3 -9", tool: "xdelta3",
		create: func(old, new, patch string) []string {
			return []string{"xdelta3", "-e", "-9", "-f", "-s", old, new, patch}
		},
		apply: func(old, patch, new string) []string { return []string{"xdelta3", "-d", "-f", "-s", old, patch, new} },
	}
}

// wideXdelta has the whole old image as its window, not 64 MiB of it.
func wideXdelta(b testing.TB, p pair) patcher {
	window := strconv.FormatInt(size(b, p.old), 10)
	return patcher{
		name: "xdelta3 -9 -B old", tool: "xdelta3",
		create: func(old, new, patch string) []string {
			return []string{"xdelta3", "-e", "-9", "-B", window, "-f", "-s", old, new, patch}
		},
		apply: func(old, patch, new string) []string {
			return []string{"xdelta3", "-d", "-B", window, "-f", "-s", old, patch, new}
		},
	}
}

func zstdPatch() patcher {
	return patcher{
		name: "zstd -19 --patch-from", tool: "zstd",
		create: func(old, new, patch string) []string {
			return []string{"zstd", "-q", "-f", "-19", "--ultra", "--long=31", "-T1", "--patch-from=" + old, new, "-o", patch}
		},
		apply: func(old, patch, new string) []string {
			return []string{"zstd", "-q", "-f", "-d", "--long=31", "--patch-from=" + old, patch, "-o", new}
		},
	}
}

func bsdiff() patcher {
	return patcher{
		name: "bsdiff", tool: "bsdiff",
		create: func(old, new, patch string) []string { return []string{"bsdiff", old, new, patch} },
		apply:  func(old, patch, new string) []string { return []string{"bspatch", old, new, patch} },
	}
}

// result is what making something took. When is set where it comes from an earlier run.
type result struct {
	Tool  string
	Bytes int64
	CPU   time.Duration
	RSS   int64
	When  string
}

// measured says when a result was.
func (r result) measured() string {
	if r.When == "" {
		return "now"
	}
	return "cached, " + r.When
}

// patch has a peer make a patch, unless it has made this one before.
func (c cache) patch(b testing.TB, p pair, by patcher) (file string, r result) {
	b.Helper()
	key := strings.Join(by.create("OLD", "NEW", "PATCH"), " ")
	file = c.remember(b, p, by.tool, key, func(file string) {
		r = resultOf(b, file, run(b, by.create(p.old, p.new, file)...))
	}, &r)
	return file, r
}

// patchNow has a peer make a patch, whatever was before.
func (c cache) patchNow(b testing.TB, p pair, by patcher) result {
	b.Helper()
	file := filepath.Join(c.scratch(b), "patch")
	r := resultOf(b, file, run(b, by.create(p.old, p.new, file)...))
	r.Tool = by.tool + " " + version(b, by.tool)
	return r
}

// remember has make fill a file, and put the rest into r, unless both are known for the same tool, key and images.
func (c cache) remember(b testing.TB, p pair, tool, key string, make func(file string), r *result) (file string) {
	b.Helper()
	tool += " " + version(b, tool)
	old, err := digest(p.old)
	must(b, err)
	new, err := digest(p.new)
	must(b, err)
	sum := sha256.Sum256([]byte(tool + "\n" + key + "\n" + old + "\n" + new + "\n"))
	dir := c.at("peers", hex.EncodeToString(sum[:12]))
	file = filepath.Join(dir, "file")
	switch err := readResult(filepath.Join(dir, "result.json"), r); {
	case err == nil:
		return file
	case !errors.Is(err, fs.ErrNotExist):
		b.Fatalf("read what an earlier run noted: %v: remove %s", err, dir)
	}
	must(b, os.MkdirAll(dir, 0o755))
	say("%s: %s: this is done once", p, key)
	make(file)
	r.Tool = tool
	noted := *r
	noted.When = time.Now().Format(time.DateTime)
	text, err := json.Marshal(noted)
	must(b, err)
	must(b, os.WriteFile(filepath.Join(dir, "result.json"), text, 0o644))
	return file
}

func readResult(path string, r *result) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}

func resultOf(b testing.TB, file string, u usage) result {
	b.Helper()
	return result{Bytes: size(b, file), CPU: u.CPU, RSS: u.RSS}
}

// checkPatch applies a patch and compares.
func checkPatch(b testing.TB, p pair, by patcher, patch, scratch string) {
	b.Helper()
	out := filepath.Join(scratch, "applied")
	defer os.Remove(out)
	run(b, by.apply(p.old, patch, out)...)
	if err := same(out, p.new); err != nil {
		b.Fatal(fmt.Errorf("%s gives another image: %w", by.name, err))
	}
}
