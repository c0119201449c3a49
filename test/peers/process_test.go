package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// usage is what a process took: with CPU the time of all its children, and
// with RSS, in bytes, the memory of the largest of them.
type usage struct {
	Wall, CPU time.Duration
	RSS       int64
}

// job is a process to be measured.
type job struct {
	args   []string
	dir    string
	env    []string // besides the environment
	also   []int    // exit codes that are a success, besides 0
	stdout io.Writer
}

// measure runs j to its end. GNU time starts it: what wait4 tells about a
// child of this process counts the memory of this process before the exec.
func measure(b testing.TB, j job) usage {
	b.Helper()
	report := filepath.Join(b.TempDir(), "time")
	cmd := exec.Command("time", append([]string{"-q", "-o", report, "-f", "%U %S %M"}, j.args...)...)
	var said bytes.Buffer
	cmd.Dir, cmd.Env = j.dir, append(os.Environ(), j.env...)
	cmd.Stderr, cmd.Stdout = &said, io.Writer(&said)
	if j.stdout != nil {
		cmd.Stdout = j.stdout
	}
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && slices.Contains(j.also, exit.ExitCode())) {
		b.Fatalf("%s: %v\n%s", strings.Join(j.args, " "), err, said.Bytes()[max(0, said.Len()-4000):])
	}
	u := readUsage(b, report)
	u.Wall = wall
	return u
}

func readUsage(b testing.TB, report string) usage {
	b.Helper()
	text, err := os.ReadFile(report)
	must(b, err)
	var user, system float64
	var kib int64
	if _, err := fmt.Sscan(string(text), &user, &system, &kib); err != nil {
		b.Fatalf("read what GNU time says, %q: %v", text, err)
	}
	return usage{CPU: time.Duration((user + system) * float64(time.Second)), RSS: kib << 10}
}

// run runs a command that must succeed.
func run(b testing.TB, args ...string) usage {
	b.Helper()
	return measure(b, job{args: args})
}

// output is what a command that must succeed prints.
func output(b testing.TB, args ...string) string {
	b.Helper()
	var out bytes.Buffer
	measure(b, job{args: args, stdout: &out})
	return out.String()
}

// background starts a process that lives until the benchmark ends.
func background(b testing.TB, cmd *exec.Cmd) {
	b.Helper()
	must(b, cmd.Start())
	b.Cleanup(func() { stop(cmd) })
}

// stop ends a process that was started here, gently at first.
func stop(cmd *exec.Cmd) {
	cmd.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
}

// median of a series that is not empty.
func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return (d[len(d)/2] + d[(len(d)-1)/2]) / 2
}
