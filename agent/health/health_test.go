package health

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hooks makes a folder of shell scripts, which only the tests need a shell for.
func hooks(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
		must(t, os.Chmod(path, 0o755))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(results []Result) string {
	var all []string
	for _, r := range results {
		all = append(all, r.Name+"="+strconv.FormatBool(r.OK))
	}
	return strings.Join(all, " ")
}

func TestRun(t *testing.T) {
	yes := Check{"director", func(context.Context) error { return nil }}
	no := Check{"network", func(context.Context) error { return errors.New("no route to host") }}
	for _, c := range []struct {
		name    string
		builtin []Check
		scripts map[string]string
		want    string // answers, in order
		fails   string // part of the error; "" for none
		output  string // of the last answer
	}{
		{name: "nothing to ask", want: ""},
		{name: "all say yes", builtin: []Check{yes}, scripts: map[string]string{"20-b": "true", "10-a": "echo well; echo done >&2", "9": "true"},
			want: "director=true 10-a=true 20-b=true 9=true"},
		{name: "the agent's own check says no", builtin: []Check{no, yes}, scripts: map[string]string{"a": "true"},
			want: "network=false", fails: "network: no route to host", output: "no route to host"},
		{name: "a hook says no, later ones are not asked", builtin: []Check{yes},
			scripts: map[string]string{"a": "true", "b": "echo the screen is dark; exit 3", "c": "true"},
			want:    "director=true a=true b=false", fails: "b: exit status 3", output: "the screen is dark"},
		{name: "a hook dies", scripts: map[string]string{"a": "kill -SEGV $$"}, want: "a=false", fails: "a: signal: segmentation fault", output: "signal: segmentation fault"},
		{name: "a hook of any name", scripts: map[string]string{"a b;c\n": "true"}, want: "a b;c\n=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			results, err := Run(t.Context(), Config{Builtin: c.builtin, Hooks: hooks(t, c.scripts)})
			if got := names(results); got != c.want {
				t.Errorf("answers %q, want %q", got, c.want)
			}
			if (err != nil) != (c.fails != "") || err != nil && (!errors.Is(err, ErrUnhealthy) || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("got %v, want %q", err, c.fails)
			}
			if c.output != "" && results[len(results)-1].Output != c.output {
				t.Errorf("output %q, want %q", results[len(results)-1].Output, c.output)
			}
		})
	}
}

func TestNoHooksFolder(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if results, err := Run(t.Context(), Config{Hooks: dir}); len(results) != 0 || err != nil {
			t.Errorf("%q: %v, %v", dir, results, err)
		}
	}
}

// A hook that somebody else could have written, or that is none, fails the run before any hook is started.
func TestUnfitHooks(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		text  string
	}{
		{"not executable", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "b"), 0o644)) }, "is not executable"},
		{"writable by its group", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "b"), 0o775)) }, "chmod go-w"},
		{"writable by others", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "b"), 0o757)) }, "chmod go-w"},
		{"a folder", func(t *testing.T, dir string) { must(t, os.Mkdir(filepath.Join(dir, "c"), 0o755)) }, "is not a regular file"},
		{"a link to nothing", func(t *testing.T, dir string) { must(t, os.Symlink("none", filepath.Join(dir, "c"))) }, "no such file"},
		{"a link to a file that others can write", func(t *testing.T, dir string) {
			path := filepath.Join(t.TempDir(), "open")
			must(t, os.WriteFile(path, nil, 0o755))
			must(t, os.Chmod(path, 0o777))
			must(t, os.Symlink(path, filepath.Join(dir, "c")))
		}, "chmod go-w"},
		{"a pipe", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "c"), 0o700)) }, "is not a regular file"},
		{"a folder of hooks that others can write", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777)) }, "chmod go-w"},
		{"a folder of hooks that is a file", func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, "reading the hooks"},
		{"somebody else's", func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Log("NOT TESTED: giving a file away needs root")
				must(t, os.Chmod(filepath.Join(dir, "b"), 0o777))
				return
			}
			must(t, os.Chown(filepath.Join(dir, "b"), 12345, 0))
		}, "ch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "ran")
			dir := hooks(t, map[string]string{"a": "touch " + mark, "b": "true"})
			c.spoil(t, dir)
			_, err := Run(t.Context(), Config{Hooks: dir})
			if !errors.Is(err, ErrUnhealthy) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("a hook was started all the same")
			}
		})
	}
}

func TestHiddenHooksArePassedOver(t *testing.T) {
	dir := hooks(t, map[string]string{".a": "exit 1", "b": "true"})
	must(t, os.Chmod(filepath.Join(dir, ".a"), 0o666))
	if results, err := Run(t.Context(), Config{Hooks: dir}); names(results) != "b=true" || err != nil {
		t.Errorf("%v, %v", results, err)
	}
}

// Hooks learn what is on trial, and nothing of the agent's own environment.
func TestHookEnvironment(t *testing.T) {
	t.Setenv("FAIRLEAD_SECRET", "nobody's business")
	dir := hooks(t, map[string]string{"env": "env | sort; pwd; cat"})
	results, err := Run(t.Context(), Config{Hooks: dir, Product: "base-unit", Version: "1.1.0", Slot: "b", Env: []string{"FAIRLEAD_UNIT=7"}})
	must(t, err)
	want := "FAIRLEAD_PRODUCT=base-unit\nFAIRLEAD_SLOT=b\nFAIRLEAD_UNIT=7\nFAIRLEAD_VERSION=1.1.0\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n/"
	if got := strings.ReplaceAll(results[0].Output, "_=/usr/bin/env\n", ""); got != want {
		t.Errorf("hook saw\n%s\nwant\n%s", got, want)
	}
}

// Of a talkative hook the end is kept, as text that a report can carry.
func TestOutputTail(t *testing.T) {
	dir := hooks(t, map[string]string{"a": `i=0; while [ $i -lt 3000 ]; do echo "line $i äöü"; i=$((i+1)); done; printf '\377\001end'`})
	results, err := Run(t.Context(), Config{Hooks: dir})
	must(t, err)
	out := results[0].Output
	if len(out) > maxOutput || len(out) < maxOutput-64 || !utf8.ValidString(out) || !strings.HasSuffix(out, "line 2999 äöü\n? end") {
		t.Errorf("%d bytes, %q", len(out), out)
	}
	if _, err := json.Marshal(results); err != nil {
		t.Error(err)
	}
}

// dies waits for the end of the process that a hook wrote down, which was killed and may need a moment to be gone.
func dies(t *testing.T, pidFile string) bool {
	t.Helper()
	b, err := os.ReadFile(pidFile)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	must(t, err)
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// At the deadline the hook and all that it started are killed, also what holds on to its output.
func TestDeadline(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	dir := hooks(t, map[string]string{
		"a": "true",
		"b": "sleep 1000 & echo $! > " + pid + "; echo waiting; wait",
		"c": "true",
	})
	start := time.Now()
	results, err := Run(t.Context(), Config{Hooks: dir, Deadline: 500 * time.Millisecond})
	if !errors.Is(err, ErrUnhealthy) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within 500ms") {
		t.Errorf("got %v", err)
	}
	if names(results) != "a=true b=false" || results[1].Output != "waiting" {
		t.Errorf("answers %+v", results)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if !dies(t, pid) {
		t.Error("what the hook started is alive")
	}
}

// The deadline is for all together, and holds for the agent's own checks.
func TestDeadlineForAll(t *testing.T) {
	forever := Check{"director", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	results, err := Run(t.Context(), Config{Builtin: []Check{forever}, Hooks: hooks(t, map[string]string{"a": "true"}), Deadline: 10 * time.Millisecond})
	if !errors.Is(err, ErrUnhealthy) || names(results) != "director=false" {
		t.Errorf("%v, %v", results, err)
	}
}

// A run that the caller ends says nothing about health.
func TestCancelled(t *testing.T) {
	stop := errors.New("the agent is stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	check := Check{"director", func(ctx context.Context) error { cancel(stop); <-ctx.Done(); return ctx.Err() }}
	if _, err := Run(ctx, Config{Builtin: []Check{check}}); !errors.Is(err, stop) || errors.Is(err, ErrUnhealthy) {
		t.Errorf("got %v", err)
	}
}

// A hook that ends well and leaves something running is a hook that said yes; what it left is killed.
func TestNothingIsLeftBehind(t *testing.T) {
	for name, redirect := range map[string]string{"quiet": ">/dev/null 2>&1", "holding the output": ""} {
		t.Run(name, func(t *testing.T) {
			pid := filepath.Join(t.TempDir(), "pid")
			dir := hooks(t, map[string]string{"a": "sleep 1000 " + redirect + " & echo $! > " + pid})
			if results, err := Run(t.Context(), Config{Hooks: dir}); err != nil || names(results) != "a=true" {
				t.Errorf("%v, %v", results, err)
			}
			if !dies(t, pid) {
				t.Error("what the hook started is alive")
			}
		})
	}
}

func TestHookThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("\x7fELF"), 0o755))
	results, err := Run(t.Context(), Config{Hooks: dir})
	if !errors.Is(err, ErrUnhealthy) || names(results) != "a=false" || !strings.Contains(results[0].Output, "exec format error") {
		t.Errorf("%v, %v", results, err)
	}
}

func TestTooManyHooks(t *testing.T) {
	dir := t.TempDir()
	for i := range maxHooks + 1 {
		must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o755))
	}
	if _, err := Run(t.Context(), Config{Hooks: dir}); err == nil || !strings.Contains(err.Error(), "at most 256") {
		t.Error(err)
	}
}
