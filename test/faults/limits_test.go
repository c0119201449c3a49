package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
)

// ceiling is the memory that the agent may have, page cache and all, in bytes.
const ceiling = 48 << 20

// TestInstallInSmallMemory: the agent installs an image that is larger than all the memory it may have, whole and by a patch.
func TestInstallInSmallMemory(t *testing.T) {
	bin := program(t, "agent/cmd/fairlead-agent")
	confined, how := confine(t)
	if e := run(t, "", append(confined, "sh", "-c", "head -c 100000000 /dev/zero | tail -c 90000000 | wc -c")...); strings.TrimSpace(e.out) == "90000000" {
		t.Fatalf("%s does not limit anything", how)
	}
	for _, patched := range []bool{false, true}[:memoryWays] {
		t.Run(map[bool]string{false: "whole", true: "by a patch"}[patched], func(t *testing.T) {
			d := largeDevice(t, patched)
			start := time.Now()
			cmd := exec.CommandContext(t.Context(), confined[0], append(confined[1:], bin, "--config", "agent.json", "install", "--json", "repo")...)
			cmd.Dir = d.dir
			var text bytes.Buffer
			cmd.Stdout, cmd.Stderr = &text, &text
			ok(t, cmd.Start())
			peak := watch(cmd)
			out := text.Bytes()
			if code := cmd.ProcessState.ExitCode(); code != exitReboot {
				t.Fatalf("exit code %d, %d KiB resident\n%s", code, peak, out)
			}
			if err := d.whole(d.dir); err != nil {
				t.Fatal(err)
			}
			if by := bytes.Contains(out, []byte(`"patched"`)); by != patched {
				t.Errorf("a patch was used: %v\n%s", by, out)
			}
			t.Logf("memory: an image of %d MiB in %d MiB (%s): %.1f MiB resident, %v", len(d.newer)>>20, ceiling>>20, how, float64(peak)/1024,
				time.Since(start).Round(time.Second))
		})
	}
}

// watch waits for a program, and returns the most memory that it was seen to hold, in KiB.
func watch(cmd *exec.Cmd) (peak int64) {
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if _, line, there := strings.Cut(string(b), "VmHWM:"); there && bytes.Contains(b, []byte("fairlead-agent")) {
			var now int64
			_, _ = fmt.Sscan(line, &now)
			peak = max(peak, now)
		}
		select {
		case <-ended:
			tick.Stop()
			return peak
		case <-tick.C:
		}
	}
}

// confine makes a group of processes with little memory, and returns what to put before a command so that it runs there.
func confine(t *testing.T) (prefix []string, how string) {
	t.Helper()
	for _, c := range []struct{ at, limit, swap, how string }{
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max", "cgroup v2"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cgroup v1"},
	} {
		group := filepath.Join(c.at, fmt.Sprintf("fairlead-faults-%d", os.Getpid()))
		if os.Mkdir(group, 0o700) != nil {
			continue
		}
		if set(group, c.limit, strconv.Itoa(ceiling)) != nil {
			_ = os.Remove(group)
			continue
		}
		swap := map[string]string{"memory.swap.max": "0"}[c.swap]
		if swap == "" {
			swap = strconv.Itoa(ceiling)
		}
		_ = set(group, c.swap, swap) // not there without swap
		t.Cleanup(func() { _ = os.Remove(group) })
		return []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group}, c.how
	}
	// Without the right to make one: writable memory of one's own. Go reserves addresses, which do not count here.
	return []string{"prlimit", "--data=" + strconv.Itoa(ceiling)}, "RLIMIT_DATA"
}

// set writes to a file of a group, which is there or not.
func set(group, name, value string) error {
	f, err := os.OpenFile(filepath.Join(group, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// largeDevice is one on a disk, not in memory, with a repository as a publisher makes it.
func largeDevice(t *testing.T, patched bool) device {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "fairlead-faults-")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := device{dir: dir, factory: noise(1, 1000), newer: mixed(largeImage)}
	if patched {
		d.factory = bytes.Clone(d.newer)
		for at := 5000; at < len(d.newer); at += len(d.newer) / 300 {
			copy(d.newer[at:], "another line of another release")
		}
	}
	p := newPress(t, dir)
	p.publish(p.genesis())
	if patched {
		p.patches = 1
		p.publish(p.release("1.0.0", d.factory))
	}
	p.publish(p.release("1.1.0", d.newer))
	ok(t, os.Rename(p.path("first/metadata/1.root.json"), p.path("root.json")))
	d.write(t, edits{"slot_size": largeImage + slotSize})
	return d
}

// mixed is noise, and text in an eighth of it.
func mixed(n int) []byte {
	b := noise(7, n)
	for at := 0; at < n; at += 1 << 17 {
		text := b[at:min(at+1<<14, n)]
		for i := 0; i < len(text); {
			i += copy(text[i:], fmt.Sprintf("line %d of a root file system\n", (at+i)/7))
		}
	}
	return b
}

// TestSecondAgentIsRefused: while one agent installs, slowly, another one is told so, and the first one comes to its end.
func TestSecondAgentIsRefused(t *testing.T) {
	strace, bin := needStrace(t), program(t, "agent/cmd/fairlead-agent")
	site := agenttest.New(time.Now().Add(48 * time.Hour))
	defer site.Close()
	d := deliver(t, scratch(t), site, 700_000, false, nil)
	first := make(chan ended, 1)
	go func() {
		first <- traced(t, strace, d.dir, "fsync", "fsync:delay_enter=100000", []string{bin, "--config", "agent.json", "install", "repo"})
	}()
	for began := time.Now(); !strings.Contains(run(t, d.dir, bin, "--config", "agent.json", "status", "--json").out, `"agent_running": true`); {
		if time.Since(began) > patience {
			t.Fatal("the first agent does not run")
		}
	}
	if e := run(t, d.dir, bin, "--config", "agent.json", "install", "repo"); e.code != exitRunning || !strings.Contains(e.out, "stop it first") {
		t.Errorf("two agents at once: exit code %d\n%s", e.code, e.out)
	}
	if e := <-first; e.code != exitReboot {
		t.Fatalf("the first agent: exit code %d\n%s", e.code, e.out)
	}
	ok(t, d.whole(d.dir))
}

// TestSlowDisk: where each sync takes its time, an installation takes longer, and nothing gives up.
func TestSlowDisk(t *testing.T) {
	strace, bin := needStrace(t), program(t, "agent/cmd/fairlead-agent")
	site := agenttest.New(time.Now().Add(48 * time.Hour))
	defer site.Close()
	d := deliver(t, scratch(t), site, 700_000, false, nil)
	start := time.Now()
	e := traced(t, strace, d.dir, "fsync", fmt.Sprintf("fsync:delay_enter=%d", slowSync.Microseconds()), []string{bin, "--config", "agent.json", "install", "repo"})
	syncs := time.Duration(strings.Count(e.log, "fsync("))
	if e.code != exitReboot || syncs < 5 || time.Since(start) < slowSync {
		t.Fatalf("exit code %d after %d syncs in %v\n%s", e.code, syncs, time.Since(start), e.out)
	}
	t.Logf("slow disk: %d syncs of %v each, %v", syncs, slowSync, time.Since(start).Round(time.Second))
	ok(t, d.whole(d.dir))
	f, err := boot.OpenFile(filepath.Join(d.dir, "boot"), boot.FileOptions{})
	ok(t, err)
	if s, err := f.State(); err != nil || s.Trial != boot.B {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestInstallWithFewFiles: the agent installs with few open files, and where they are too few, says so and loses nothing.
func TestInstallWithFewFiles(t *testing.T) {
	bin := program(t, "agent/cmd/fairlead-agent")
	site := agenttest.New(time.Now().Add(48 * time.Hour))
	defer site.Close()
	d := deliver(t, scratch(t), site, 300_000, false, nil)
	refused := 0
	for files := 4; files <= 24; files += 4 {
		e := run(t, d.dir, "sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" --config agent.json install repo`, files), bin)
		ok(t, d.whole(d.dir))
		if e.code == exitReboot {
			t.Logf("few files: %d are enough; with fewer it was refused %d times", files, refused)
			if refused == 0 {
				t.Error("four open files are enough: the limit limits nothing")
			}
			return
		}
		if refused++; len(e.out) < 10 {
			t.Errorf("with %d files: exit code %d and no word", files, e.code)
		}
	}
	t.Error("24 open files are not enough")
}
