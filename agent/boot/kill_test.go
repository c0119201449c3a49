package boot_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
)

// victimEnv makes the test program one that takes the step "<name>" in the folder "<dir>", given as "<name>:<dir>".
const victimEnv = "FAIRLEAD_BOOT_VICTIM"

func TestMain(m *testing.M) {
	if name, dir, ok := strings.Cut(os.Getenv(victimEnv), ":"); ok {
		victim(name, dir)
		return
	}
	os.Exit(m.Run())
}

// victim makes all its calls on one thread, because strace counts them by thread.
func victim(name, dir string) {
	runtime.LockOSThread()
	f, err := boot.OpenFile(dir, boot.FileOptions{})
	if err != nil {
		panic(err)
	}
	for _, c := range steps {
		if c.name == name {
			c.step(f)
		}
	}
}

// The process is killed before each of the system calls that a step makes; strace does it. What is found then is the
// state from before or after the step, and the device starts.
func TestKilledAtEverySystemCall(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Logf("NOT TESTED: strace is not installed")
		return
	}
	if out, err := exec.Command(strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Logf("NOT TESTED: strace may not trace here: %v: %s", err, out)
		return
	}
	for _, c := range steps {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := fastDir(t)
			f := open(t, dir, 1)
			c.before(t, f)
			before := snapshot(t, dir)
			oldState, err := f.State()
			must(t, err)
			c.step(f)
			newState, err := f.State()
			must(t, err)
			kills := 0
			for _, call := range []string{"fsync", "?renameat,?renameat2", "write"} {
				for n := 1; ; n++ {
					crashed := restore(t, before)
					if !kill(t, strace, call, n, c.name+":"+crashed) {
						break
					}
					kills++
					startsAfter(t, crashed, c.name == "first boot", oldState, newState)
				}
			}
			if kills < 4 {
				t.Errorf("%d kills: the test is blind", kills)
			}
		})
	}
}

// kill runs a victim that is to die at the nth call, and reports whether it did.
func kill(t *testing.T, strace, call string, n int, order string) bool {
	t.Helper()
	inject := "inject=" + call + ":signal=KILL:when=" + strconv.Itoa(n)
	cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+call, "-e", inject, os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+order)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("victim: %v: %s", err, out)
	}
	return true
}
