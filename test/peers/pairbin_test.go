package peers

import (
	"path/filepath"
	"testing"
)

func buildBin(b testing.TB, c cache, dir string) {
	goOld, goNew := goTree(b, c, "old"), goTree(b, c, "new")
	for name, path := range map[string]string{
		"go": "bin/go", "go-compile": "pkg/tool/linux_amd64/compile", "go-link": "pkg/tool/linux_amd64/link",
		"go-asm": "pkg/tool/linux_amd64/asm", "go-cgo": "pkg/tool/linux_amd64/cgo",
	} {
		twoOf(b, dir, name, filepath.Join(goOld, path), filepath.Join(goNew, path))
	}
	debian := debianTrees(b, c)
	for name, path := range map[string]string{
		"python3.11": "usr/bin/python3.11", "libcrypto": "usr/lib/x86_64-linux-gnu/libcrypto.so.3", "perl": "usr/bin/perl",
		"libperl": "usr/lib/x86_64-linux-gnu/libperl.so.5.36",
	} {
		twoOf(b, dir, name, filepath.Join(debian, "main", path), filepath.Join(debian, "year", path))
	}
}

func buildHeldBin(b testing.TB, c cache, dir string) {
	old, new := heldTree(b, c, "old"), heldTree(b, c, "new")
	for name, path := range map[string]string{
		"libnode": "usr/lib/aarch64-linux-gnu/libnode.so.108", "postgres": "usr/lib/postgresql/15/bin/postgres",
		"python3.11": "usr/bin/python3.11", "kernel": "boot/vmlinuz-*",
	} {
		twoOf(b, dir, name, filepath.Join(old, path), filepath.Join(new, path))
	}
}

// twoOf copies both sides of one program. Their names may be patterns.
func twoOf(b testing.TB, dir, name, old, new string) {
	b.Helper()
	for side, pattern := range map[string]string{"old": old, "new": new} {
		found, _ := filepath.Glob(pattern)
		if len(found) != 1 {
			b.Fatalf("%s fits %d files: want one", pattern, len(found))
		}
		run(b, "cp", "-L", "--preserve=mode", found[0], filepath.Join(dir, side+"."+name))
	}
}
