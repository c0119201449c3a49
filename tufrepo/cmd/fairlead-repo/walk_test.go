package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWalk types the commands of docs/operations.md, section A walk, into a shell in an empty
// folder, with other ports.
func TestWalk(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## A walk\n")
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -e\n"
	for n, part := range strings.Split(section, "\n```\n") {
		if n%2 == 1 {
			script += part + "\n"
		}
	}
	for _, port := range []string{"8443", "9443"} {
		if !strings.Contains(script, ":"+port) {
			t.Fatalf("no command names port %s: where is the section?", port)
		}
		script = strings.ReplaceAll(script, ":"+port, ":"+freePort(t))
	}
	out := walk(t, script)
	for _, want := range []string{"exit code 1", "paused", "failed or fell silent", "health: room: the display stays dark with 1.1.0", "aborted"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// walk runs a script in an empty folder, with our tools.
func walk(t *testing.T, script string) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./signer/cmd/fairlead-sign", "./tufrepo/cmd/fairlead-repo", "./simulator/cmd/fairlead-sim")
	build.Dir, build.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "CGO_ENABLED=0") // as make build does, which it can use
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sh := exec.CommandContext(ctx, "sh", "-c", script)
	sh.Dir, sh.Env = t.TempDir(), append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has left in the background ends with it
	sh.Cancel = func() error { return syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) }
	sh.WaitDelay = 10 * time.Second
	out, err := sh.CombinedOutput()
	if err != nil {
		syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may be gone
		log, _ := os.ReadFile(filepath.Join(sh.Dir, "service.log"))
		t.Fatalf("%v\n%s\nservice:\n%s", err, out, log)
	}
	return string(out)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
