package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
)

// host is a device whose agent is a real process.
type host struct {
	t    *testing.T
	dir  string
	site *agenttest.Site
}

func newHost(t *testing.T, edit func(config map[string]any)) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), site: agenttest.New(time.Now().Add(48 * time.Hour))}
	t.Cleanup(h.site.Close)
	if err := setup(h.dir, h.site); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.dir, "agent.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{}
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	edit(config)
	if b, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// start starts the agent with a verb.
func (h *host) start(env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	h.t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"--config", "agent.json"}, args...)...)
	cmd.Dir = h.dir
	cmd.Env = append(append(os.Environ(), beAgent+"=1"), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, &out
}

// run runs the agent and expects an exit code.
func (h *host) run(code int, args ...string) {
	h.t.Helper()
	cmd, out := h.start(nil, args...)
	if got := codeOf(h.t, cmd.Wait()); got != code {
		h.t.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, out)
	}
}

func codeOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

func (h *host) status() agent.Status {
	h.t.Helper()
	cfg, err := agent.LoadConfig(filepath.Join(h.dir, "agent.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := agent.New(cfg, agent.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := a.Status()
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *host) wait(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestNoListeningSocket: every connection of the daemon goes out.
func TestNoListeningSocket(t *testing.T) {
	t.Parallel()
	if own, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	} else if listening, _ := sockets(t, os.Getpid()); len(listening) == 0 {
		t.Fatal("the test does not see a listening socket of its own")
	} else {
		own.Close()
	}
	h := newHost(t, func(map[string]any) {})
	h.run(0, "enroll", "--claim-file", "claim")
	cmd, out := h.start(nil, "run")
	id := h.site.Devices()[0]
	h.wait("the first report", func() bool { return h.site.Reported(id).Version != "" })
	listening, connected := sockets(t, cmd.Process.Pid)
	if connected == 0 {
		t.Error("no connection was seen: the test looks at the wrong place")
	}
	if len(listening) > 0 {
		t.Errorf("the agent listens: %v", listening)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, cmd.Wait()); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, out)
	}
}

// sockets are the sockets of a process that take what comes from outside: TCP sockets that
// listen, UDP sockets without a peer, Unix sockets that listen; and the number of TCP
// connections.
func sockets(t *testing.T, pid int) (listening []string, connected int) {
	t.Helper()
	own := map[string]bool{}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(fds, e.Name()))
		if inode, ok := strings.CutPrefix(name, "socket:["); ok && err == nil {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix"} {
		for _, f := range rows(t, fmt.Sprintf("/proc/%d/net/%s", pid, table)) {
			if table == "unix" {
				// Num: RefCount Protocol Flags Type St Inode; 0x10000 in Flags: it listens
				if len(f) > 6 && own[f[6]] && f[3] == "00010000" {
					listening = append(listening, strings.Join(f, " "))
				}
				continue
			}
			// sl local remote st ... inode is the tenth; 0A: it listens, 01: it is connected
			switch {
			case len(f) < 10 || !own[f[9]]:
			case strings.HasPrefix(table, "tcp") && f[3] == "01":
				connected++
			case f[3] == "0A", !strings.HasPrefix(table, "tcp") && f[3] == "07":
				listening = append(listening, table+": "+strings.Join(f[:4], " "))
			}
		}
	}
	return listening, connected
}

func rows(t *testing.T, path string) (all [][]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		all = append(all, strings.Fields(lines.Text()))
	}
	return all
}

// TestSystemd: what systemd hears, and that the reboot is the configured command's.
func TestSystemd(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c map[string]any) {
		c["enabled"] = false
		c["reboot"] = []string{"/bin/sh", "-c", "echo x >>rebooted; kill -TERM $PPID"}
	})
	heard := listen(t, filepath.Join(h.dir, "notify"))
	env := []string{"NOTIFY_SOCKET=" + filepath.Join(h.dir, "notify"), "WATCHDOG_USEC=100000"}
	cmd, out := h.start(env, "run")
	h.wait("READY and WATCHDOG", func() bool {
		return strings.Contains(heard(), "READY=1\n") && strings.Count(heard(), "WATCHDOG=1\n") >= 3 && strings.Contains(heard(), "STATUS=idle\n")
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, cmd.Wait()); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	h.site.Release("1.1.0", 2, agenttest.Encode(make([]byte, 100_000)), nil)
	h.site.WriteFolder(filepath.Join(h.dir, "repo"))
	h.run(0, "install", "--reboot", "repo")
	if b, err := os.ReadFile(filepath.Join(h.dir, "rebooted")); err != nil || string(b) != "x\n" {
		t.Errorf("rebooted: %q, %v", b, err)
	}
	h.run(0, "run") // before the reboot: it asks again
	if b, _ := os.ReadFile(filepath.Join(h.dir, "rebooted")); string(b) != "x\nx\n" {
		t.Errorf("rebooted: %q", b)
	}
}

// listen collects what is sent to a socket.
func listen(t *testing.T, path string) (heard func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var mu sync.Mutex
	var all strings.Builder
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			fmt.Fprintf(&all, "%s\n", b[:n])
			mu.Unlock()
		}
	}()
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// TestKillNine kills the agent at moments that nobody has chosen, while it installs and while
// it tries, and lets it go on.
func TestKillNine(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c map[string]any) { c["enabled"] = false })
	image := bytes.Repeat([]byte("a line of a root filesystem\n"), 30_000)
	h.site.Release("1.1.0", 2, agenttest.Encode(image), nil)
	h.site.WriteFolder(filepath.Join(h.dir, "repo"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	killed, code := 0, 0
	limit := 20 * time.Millisecond
	for i := 0; code != exitReboot && i < 80; i++ {
		code = h.interrupted(r, limit, "install", "repo")
		limit += limit / 8 // a slow machine gets the time it needs in the end
		if code < 0 {
			killed++
		}
	}
	if code != exitReboot || killed < 3 {
		t.Fatalf("exit code %d after %d kills", code, killed)
	}
	f, err := boot.OpenFile(filepath.Join(h.dir, "boot"), boot.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if slot, err := f.Boot(); slot != boot.B || err != nil {
		t.Fatalf("slot %s was started: %v", slot, err)
	}
	for i := 0; i < 3; i++ {
		h.interrupted(r, 50*time.Millisecond, "run")
	}
	cmd, _ := h.start(nil, "run")
	h.wait("the commit", func() bool { return h.status().State == "committed" })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if got, err := os.ReadFile(filepath.Join(h.dir, "slot-b")); err != nil || !bytes.HasPrefix(got, image) {
		t.Error("slot b does not hold the image")
	}
	if s := h.status(); s.Version != "1.1.0" || s.Floor != 2 {
		t.Errorf("status: %+v", s)
	}
}

// interrupted runs the agent for a while of at most d; -1 if it was killed then.
func (h *host) interrupted(r *rand.Rand, d time.Duration, args ...string) int {
	h.t.Helper()
	cmd, out := h.start(nil, args...)
	timer := time.AfterFunc(time.Duration(r.Int64N(int64(d))), func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	code := codeOf(h.t, cmd.Wait())
	if code > 0 && code != exitReboot {
		h.t.Fatalf("%v: exit code %d\n%s", args, code, out)
	}
	return code
}
