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
	// What the page has no room for: an agent is asked for something.
	script = strings.Replace(script, "cat > plan.json", poke+"cat > plan.json", 1)
	dir := t.TempDir()
	out, err := runScript(t, dir, script)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "service.log"))
		t.Fatalf("%v\n%s\nservice:\n%s", err, out, log)
	}
	for _, want := range []string{"exit code 1", "paused", "failed or fell silent", "health: room: the display stays dark with 1.1.0", "aborted"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

const poke = `
ID=$(fairlead-repo device list --limit 1 --json | sed -n 's/.*"id": "\(.*\)",/\1/p')
until fairlead-repo device poke $ID > /dev/null 2>&1; do sleep 0.1; done
for command in check report-now ping pause resume; do fairlead-repo device poke $ID $command | grep -q 'done *true'; done
`

// TestWalkLeavesNobodyBehind stops a script in its middle.
func TestWalkLeavesNobodyBehind(t *testing.T) {
	out, err := runScript(t, t.TempDir(), "set -e\nsleep 1000 > log 2>&1 & echo $!\nfalse\necho not reached\n")
	if err == nil || strings.Contains(out, "not reached") {
		t.Fatalf("a script that fails goes on: %v\n%s", err, out)
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(out), "stat"))
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("what the script has started runs on: %s", stat)
	}
}

// runScript runs a script in an empty folder, with our tools, and kills what it has left.
func runScript(t *testing.T, dir, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	path := buildTools(t) + ":" + os.Getenv("PATH") // where TestMain has put fairlead-repo, which is this program
	sh := exec.CommandContext(ctx, "sh", "-c", script)
	sh.Dir, sh.Env = dir, append(os.Environ(), "PATH="+path, "GORACE=atexit_sleep_ms=0")
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	sh.Cancel = func() error { return syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) }
	sh.WaitDelay = 10 * time.Second
	out, err := sh.CombinedOutput()
	if sh.Process != nil {
		endGroup(sh.Process.Pid)
	}
	return string(out), err
}

// endGroup kills a process group and waits until it is gone, or for a while: its dead stay in it
// where nobody collects them.
func endGroup(pgid int) {
	for end := time.Now().Add(time.Second); syscall.Kill(-pgid, syscall.SIGKILL) == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// buildTools builds those of other rooms into bin/walk, where the next run finds them linked.
func buildTools(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin", "walk")
	build := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", bin+"/", // as others build them
		"./signer/cmd/fairlead-sign", "./simulator/cmd/fairlead-sim")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
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
