package qemu

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// drivers are what the kernel needs to see the machine's disk and network card, in the order in which they are loaded.
var drivers = []string{
	"drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko", "drivers/virtio/virtio_pci_modern_dev.ko",
	"drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci.ko", "drivers/block/virtio_blk.ko",
	"net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
}

// archive is an initial RAM file system: cpio's "newc" form.
type archive struct{ bytes.Buffer }

const (
	modeDir, modeFile, modeChar = 0o040755, 0o100755, 0o020600
)

func (a *archive) add(name string, mode int, data []byte) {
	major, minor := 0, 0
	if mode == modeChar {
		major, minor = 5, 1 // the console
	}
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 0, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor,
		len(name)+1, 0, name)
	a.pad()
	a.Write(data)
	a.pad()
}

func (a *archive) pad() { a.Write(make([]byte, -a.Len()&3)) }

// initrd is testinit with the drivers, and with the fault that the release is to have.
func initrd(t *testing.T, testinit []byte, modules, fault string) []byte {
	t.Helper()
	var a archive
	for _, dir := range []string{"dev", "proc", "sys", "env", "slot", "data", "etc"} {
		a.add(dir, modeDir, nil)
	}
	a.add("dev/console", modeChar, nil)
	a.add("etc/hosts", modeFile, []byte("10.0.2.2 localhost\n")) // where the test is: the name is the one of the service's certificate
	var names []string
	for _, d := range drivers {
		data, err := os.ReadFile(filepath.Join(modules, d))
		must(t, err)
		names = append(names, path.Base(d))
		a.add(path.Base(d), modeFile, data)
	}
	a.add("modules", modeFile, []byte(strings.Join(names, "\n")))
	a.add("fault", modeFile, []byte(fault))
	if fault != "panic" {
		a.add("init", modeFile, testinit)
	}
	a.add("TRAILER!!!", 0, nil)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	must(t, err)
	_, err = w.Write(a.Bytes())
	must(t, err)
	must(t, w.Close())
	return packed.Bytes()
}
