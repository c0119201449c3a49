//go:build long

package rauc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	imageSize = 4 << 20
	sector    = 512
	envSize   = 1024
	samples   = 16 // random parts of what is pending, for each prefix
)

// TestPowerCuts prints what it shows, whatever it shows: it fails only if it can show nothing.
func TestPowerCuts(t *testing.T) {
	for _, tool := range []string{"rauc", "strace", "grub-editenv", "dbus-daemon", "openssl", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: apt-get install rauc strace grub-common dbus openssl util-linux", tool)
		}
	}
	var all tally
	for _, running := range []string{"a", "b"} {
		s := newSystem(t, running)
		ops := s.install(t)
		c := counts(ops)
		if c[slotWrite] < 100 || c[slotSync] == 0 || c[envWrite] < 2 {
			t.Fatalf("slot %s runs: strace saw %v", running, c)
		}
		all.add(sweep(s.env, s.other, ops))
	}
	version, err := exec.Command("rauc", "--version").Output()
	check(t, err)
	t.Logf("%s, the same sweep: %d cut points, %d media, %d of them with a half-written slot marked good, %d without any boot selection",
		strings.TrimSpace(string(version)), all.cuts, all.media, all.half, all.lost)
}

// system is a machine with two slots, one of which runs.
type system struct {
	dir            string
	running, other string
	device         string // the other's
	env            []byte // the environment block before the installation
}

func newSystem(t *testing.T, running string) *system {
	s := &system{dir: t.TempDir(), running: running, other: map[string]string{"a": "b", "b": "a"}[running]}
	check(t, os.Mkdir(s.at("mnt"), 0o755))
	check(t, os.WriteFile(s.at("running"), []byte("it runs"), 0o600))
	check(t, os.WriteFile(s.at("slot"), bytes.Repeat([]byte{0xA5}, imageSize+1<<20), 0o600))
	s.device = strings.TrimSpace(output(t, "losetup", "-f", "--show", s.at("slot")))
	t.Cleanup(func() { output(t, "losetup", "-d", s.device) })
	output(t, "grub-editenv", s.at("grubenv"), "create")
	output(t, "grub-editenv", s.at("grubenv"), "set", "ORDER="+running+" "+s.other, "a_OK=1", "a_TRY=0", "b_OK=1", "b_TRY=0")
	var err error
	s.env, err = os.ReadFile(s.at("grubenv"))
	check(t, err)
	s.bundle(t)
	check(t, os.WriteFile(s.at("system.conf"), fmt.Appendf(nil, `[system]
compatible=cuts
bootloader=grub
grubenv=%[1]s/grubenv
mountprefix=%[1]s/mnt
statusfile=%[1]s/status
[keyring]
path=%[1]s/cert.pem
[slot.rootfs.0]
device=%[1]s/running
type=raw
bootname=%[2]s
[slot.rootfs.1]
device=%[3]s
type=raw
bootname=%[4]s
`, s.dir, running, s.device, s.other), 0o600))
	return s
}

func (s *system) at(name string) string { return filepath.Join(s.dir, name) }

func (s *system) bundle(t *testing.T) {
	content := s.at("content")
	check(t, os.Mkdir(content, 0o755))
	image := make([]byte, imageSize)
	rand.NewChaCha8([32]byte{1}).Read(image)
	check(t, os.WriteFile(filepath.Join(content, "image.img"), image, 0o600))
	check(t, os.WriteFile(filepath.Join(content, "manifest.raucm"),
		[]byte("[update]\ncompatible=cuts\nversion=2\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=image.img\n"), 0o600))
	output(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", s.at("key.pem"), "-out", s.at("cert.pem"), "-subj", "/CN=cuts", "-days", "2")
	output(t, "rauc", "--cert", s.at("cert.pem"), "--key", s.at("key.pem"), "bundle", content, s.at("update.raucb"))
}

// install runs rauc's service under strace, on a message bus of its own, and returns what was done to slot and environment.
func (s *system) install(t *testing.T) []op {
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--nosyslog", "--address=unix:path="+s.at("bus"))
	start(t, bus)
	env := append(os.Environ(), "DBUS_STARTER_BUS_TYPE=session", "DBUS_SESSION_BUS_ADDRESS=unix:path="+s.at("bus"))
	until(t, func() bool { _, err := os.Stat(s.at("bus")); return err == nil })
	service := exec.Command("strace", "-f", "-y", "-xx", "-s", "2048", "-o", s.at("log"), "-e", "trace=openat,write,pwrite64,fsync,fdatasync",
		"rauc", "-c", s.at("system.conf"), "--override-boot-slot="+s.running, "service")
	service.Env = env
	start(t, service)
	until(t, func() bool {
		status := exec.Command("rauc", "status")
		status.Env = env
		return status.Run() == nil
	})
	install := exec.Command("rauc", "install", s.at("update.raucb"))
	install.Env = env
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("rauc install: %v\n%s", err, out)
	}
	log, err := os.ReadFile(s.at("log"))
	check(t, err)
	return s.parse(t, log)
}

// start starts a process in a group of its own, which ends with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come up")
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
