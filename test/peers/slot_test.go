package peers

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// slot is a block device, a file behind it, that a benchmark owns.
type slot struct{ device string }

func newSlot(b testing.TB, c cache, size int64) slot {
	b.Helper()
	need(b, "losetup")
	needRoot(b, "a loop device")
	file := filepath.Join(c.scratch(b), "slot")
	must(b, os.WriteFile(file, nil, 0o600))
	must(b, os.Truncate(file, size))
	s := slot{strings.TrimSpace(output(b, "losetup", "-f", "--show", file))}
	b.Cleanup(func() { run(b, "losetup", "-d", s.device) })
	s.spoil(b)
	return s
}

// spoil fills the slot with noise, durably: nothing of it is of use to whoever installs, not even zeros.
func (s slot) spoil(b testing.TB) {
	b.Helper()
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(noise)
	f, err := os.OpenFile(s.device, os.O_RDWR, 0)
	must(b, err)
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	must(b, err)
	for at := int64(0); at < end; at += int64(len(noise)) {
		_, err := f.WriteAt(noise[:min(int64(len(noise)), end-at)], at)
		must(b, err)
	}
	must(b, f.Sync())
}

// slotSize has room for the image, and is a whole number of MiB.
func slotSize(image int64) int64 { return (image + 2<<20) &^ (1<<20 - 1) }
