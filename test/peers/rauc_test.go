package peers

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// raucInstaller is rauc with a plain bundle out of a file: the other bundle formats need device-mapper. The work is done
// by its service, which is what is measured.
func raucInstaller(b testing.TB, c cache, p pair, s slot) installer {
	b.Helper()
	need(b, "rauc", "dbus-daemon", "mksquashfs", "openssl")
	dir := c.scratch(b)
	bundle := makeBundle(b, dir, p)
	config := filepath.Join(dir, "system.conf")
	must(b, os.Mkdir(filepath.Join(dir, "mnt"), 0o755))
	must(b, os.WriteFile(filepath.Join(dir, "running"), []byte("nothing"), 0o600))
	must(b, os.WriteFile(config, fmt.Appendf(nil, `[system]
compatible=peers
bootloader=noop
mountprefix=%[1]s/mnt
statusfile=%[1]s/status
[keyring]
path=%[1]s/cert.pem
[slot.rootfs.0]
device=%[1]s/running
type=raw
bootname=a
[slot.rootfs.1]
device=%[2]s
type=raw
bootname=b
`, dir, s.device), 0o600))
	bus := []string{"DBUS_STARTER_BUS_TYPE=session", "DBUS_SESSION_BUS_ADDRESS=" + startBus(b)}
	return installer{
		name: "rauc (" + version(b, "rauc") + "), file", carried: size(b, bundle),
		install: func() usage { return raucInstall(b, bus, config, bundle) },
	}
}

func makeBundle(b testing.TB, dir string, p pair) string {
	b.Helper()
	key, cert := signingKey(b, dir)
	content, bundle := filepath.Join(dir, "content"), filepath.Join(dir, "update.raucb")
	must(b, os.Mkdir(content, 0o755))
	must(b, os.WriteFile(filepath.Join(content, "manifest.raucm"), []byte(`[update]
compatible=peers
version=1.1.0
[bundle]
format=plain
[image.rootfs]
filename=image.img
`), 0o600))
	run(b, "cp", p.new, filepath.Join(content, "image.img"))
	run(b, "rauc", "--cert", cert, "--key", key, "bundle", content, bundle)
	must(b, os.RemoveAll(content))
	return bundle
}

// startBus runs a message bus of our own, so that no service of this machine is touched.
func startBus(b testing.TB) (address string) {
	b.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	must(b, err)
	background(b, cmd)
	address, err = bufio.NewReader(out).ReadString('\n')
	must(b, err)
	return strings.TrimSpace(address)
}

// raucInstall starts the service before the time is taken.
func raucInstall(b testing.TB, bus []string, config, bundle string) usage {
	b.Helper()
	service := exec.Command("rauc", "-c", config, "--override-boot-slot=a", "service")
	service.Env = append(os.Environ(), bus...)
	must(b, service.Start())
	defer stop(service)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status := exec.Command("rauc", "status")
		status.Env = service.Env
		if status.Run() == nil {
			break
		} else if time.Now().After(end) {
			b.Fatal("rauc's service does not come up")
		}
	}
	before := processUsage(b, service.Process.Pid)
	u := measure(b, job{env: bus, args: []string{"rauc", "install", bundle}})
	after := processUsage(b, service.Process.Pid)
	return usage{Wall: u.Wall, CPU: u.CPU + after.CPU - before.CPU, RSS: after.RSS}
}

// processUsage is what a process that runs has taken so far, with its children.
func processUsage(b testing.TB, pid int) usage {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):])) // field 2 of proc(5) ends there
	var u usage
	for _, ticks := range fields[12:16] {
		n, _ := strconv.Atoi(ticks)
		u.CPU += time.Duration(n) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(b, err)
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			u.RSS = n << 10
		}
	}
	return u
}
