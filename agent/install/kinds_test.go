package install

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// deviceKind makes slots of one kind, filled with old bytes.
type deviceKind struct {
	name string
	make func(t testing.TB, size int) (path string)
}

// deviceKinds are all that this machine can offer: files always, loop devices for root.
func deviceKinds(t testing.TB) []deviceKind {
	t.Helper()
	kinds := []deviceKind{
		{"file", fileSlot},
		{"shm", shmSlot},
	}
	if why := noLoop(); why != "" {
		t.Logf("NOT TESTED on block devices: %s", why)
		return kinds
	}
	return append(kinds, deviceKind{"loop", loopSlot})
}

// noLoop says why there are no loop devices for a test; "" if there are.
func noLoop() string {
	if os.Geteuid() != 0 {
		return "loop devices need root"
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		return "losetup is not installed (package mount)"
	}
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		return "losetup -f: " + strings.TrimSpace(string(out))
	}
	return ""
}

// loopSlot makes a block device of a file.
func loopSlot(t testing.TB, size int) string {
	t.Helper()
	return attachLoop(t, fileSlot(t, size))
}

func attachLoop(t testing.TB, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", loop, err, out)
		}
	})
	return loop
}

// shmSlot makes a slot file on a memory file system, which has neither every fallocate nor, on older kernels, O_DIRECT.
func shmSlot(t testing.TB, size int) string {
	t.Helper()
	path := filepath.Join(fastDir(t), "slot-b")
	must(t, os.WriteFile(path, bytes.Repeat([]byte{0xA5}, size), 0o600))
	return path
}

// fastDir is a folder in memory where there is one: some tests sync by the thousand.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fairlead-install-")
	if err != nil {
		t.Logf("NOT TESTED on /dev/shm: %v", err)
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
