package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// calls are the system calls that reach files, folders and slots.
var calls = []string{
	"openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "sync_file_range", "fallocate", "ftruncate",
	"renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "getdents64", "flock",
}

// fault is one way for a call to go wrong.
type fault struct {
	name, inject string
	only         string // calls that can go wrong in this way; "" for all
}

var kinds = []fault{
	{name: "EIO", inject: "error=EIO"},
	{name: "ENOSPC", inject: "error=ENOSPC", only: "openat write pwrite64 fsync fdatasync fallocate ftruncate renameat renameat2 linkat mkdirat"},
	{name: "short", inject: "retval=0", only: "read pread64 write pwrite64"}, // nothing more came, nothing was taken
	{name: "lie", inject: "retval=1", only: "pwrite64"},                      // to a slot: one byte was taken, it says; none was
	{name: "kill", inject: "signal=KILL"},
}

func (f fault) fits(call string) bool {
	return f.only == "" || strings.Contains(" "+f.only+" ", " "+call+" ")
}

// needStrace fails where strace is missing: what this package is for would not be tested.
func needStrace(t *testing.T) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	if out, err := exec.Command(strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Fatalf("strace may not trace here: %v: %s", err, out)
	}
	return strace
}

// ended is how a program came to its end.
type ended struct {
	code   int // -1: killed
	out    string
	log    string // of strace
	halted bool   // it was stopped, because it did not end
}

// run runs a program in a folder.
func run(t *testing.T, dir string, argv ...string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // strace and what it traces end together
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", argv, err)
	}
	return ended{code: cmd.ProcessState.ExitCode(), out: out.String(), halted: ctx.Err() != nil}
}

// traced runs a program under strace, with a fault if inject is not empty.
func traced(t *testing.T, strace, dir, trace, inject string, argv []string) ended {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace.log")
	args := []string{strace, "-f", "-qq", "-o", log, "-e", "signal=none", "-e", "trace=" + trace}
	if inject != "" {
		args = append(args, "-e", "inject="+inject)
	}
	if !strings.Contains(inject, "signal=") {
		args = append(args, "--seccomp-bpf") // with which strace loses signals
	}
	e := run(t, dir, append(args, argv...)...)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	e.log = string(b)
	_ = os.Remove(log)
	return e
}

// happened says whether the fault did.
func (e ended) happened(f fault) bool {
	if f.name == "kill" {
		return e.code == -1 && !e.halted
	}
	return strings.Contains(e.log, "(INJECTED)")
}

// begins is the line of a call in strace's log: the thread, the call.
var begins = regexp.MustCompile(`(?m)^(\d+) +(\w+)\(`)

// count says how often a program makes each call, in the thread that makes the most of them.
func count(log string) map[string]int {
	by, most := map[string]int{}, map[string]int{}
	for _, m := range begins.FindAllStringSubmatch(log, -1) {
		by[m[1]+m[2]]++
		most[m[2]] = max(most[m[2]], by[m[1]+m[2]])
	}
	return most
}

// copyTree copies a folder, and the modes of what is in it.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), info.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, info.Mode().Perm())
	})
}

// scratch is a folder in memory, where there is one: programs that sync do not wait for a disk that others use.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "faults-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// programs are those that were built, by package.
var programs struct {
	sync.Mutex
	dir   string
	built map[string]bool
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		panic(err)
	}
	programs.dir, programs.built = dir, map[string]bool{}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// program builds a program, once, as those who test it do.
func program(t testing.TB, pkg string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if !programs.built[pkg] {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", programs.dir+"/", "./"+pkg)
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", pkg, err, out)
		}
		programs.built[pkg] = true
	}
	return filepath.Join(programs.dir, filepath.Base(pkg))
}

// table is what became of the faults, by call and kind.
type table map[string]map[string]*cell

type cell struct{ tried, survived int }

func (all table) of(call, kind string) *cell {
	if all[call] == nil {
		all[call] = map[string]*cell{}
	}
	if all[call][kind] == nil {
		all[call][kind] = &cell{}
	}
	return all[call][kind]
}

// print is one line for each call, and the sum.
func (all table) print() (text string, tried, survived int) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %-16s", "call")
	for _, k := range kinds {
		fmt.Fprintf(&b, "%12s", k.name)
	}
	for _, call := range calls {
		if all[call] == nil {
			continue
		}
		fmt.Fprintf(&b, "\n  %-16s", call)
		for _, k := range kinds {
			c := all[call][k.name]
			if c == nil {
				fmt.Fprintf(&b, "%12s", "-")
				continue
			}
			fmt.Fprintf(&b, "%12s", fmt.Sprintf("%d/%d", c.survived, c.tried))
			tried, survived = tried+c.tried, survived+c.survived
		}
	}
	return b.String(), tried, survived
}
