package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// script is the part of docs/boot.md that follows the comment "<!-- name -->", without its fence.
func script(t testing.TB, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/boot.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- "+name+" -->\n```sh\n")
	text, _, ok2 := strings.Cut(rest, "\n```\n")
	if !ok || !ok2 {
		t.Fatalf("docs/boot.md has no script %q", name)
	}
	return text + "\n"
}

// need finds programs of Debian's; without them nothing is tested, and the log says so.
func need(t *testing.T, debian string, names ...string) bool {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if _, err := os.Stat("/usr/sbin/" + name); err == nil {
				t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
				continue
			}
			t.Logf("NOT TESTED: %s is missing: apt-get install %s", name, debian)
			return false
		}
	}
	return true
}

// findDebian finds what test/qemu/debian.sh unpacks: Debian's kernel for clouds with its drivers, and e2fsck without libraries.
func findDebian(t *testing.T) (kernel, modules, fsck string) {
	t.Helper()
	root := os.Getenv("FAIRLEAD_QEMU")
	if root == "" {
		root = "../../bin/qemu"
	}
	all, _ := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*-cloud-amd64"))
	fsck = filepath.Join(root, "sbin/e2fsck.static")
	if _, err := os.Stat(fsck); err != nil || len(all) == 0 {
		t.Log("NOT TESTED: no kernel: run test/qemu/debian.sh, which unpacks Debian's into bin/qemu")
		return "", "", ""
	}
	kernel = all[len(all)-1]
	return kernel, filepath.Join(root, "lib/modules", strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-"), "kernel"), fsck
}
