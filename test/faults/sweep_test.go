package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var seed = flag.Uint64("faults.seed", 1, "of the calls that fail")

// job is a command that is hit by faults.
type job struct {
	name string
	argv []string
	// ready is a folder with all that the command needs. Each run has a copy.
	ready string
	done  int // exit code of a run without faults
	// look judges what a run has left, by its exit code.
	look func(dir string, code int) error
	// again comes to the good end, without faults.
	again func(t *testing.T, dir string) error
}

// TestEverySystemCallFails lets calls of agent and publisher fail, one at a time. With the build tag long it is each of them.
func TestEverySystemCallFails(t *testing.T) {
	strace := needStrace(t)
	agent, repo := program(t, "agent/cmd/fairlead-agent"), program(t, "tufrepo/cmd/fairlead-repo")
	var jobs []job
	jobs = append(jobs, agentJobs(t, agent)...)
	jobs = append(jobs, publisherJobs(t, repo)...)
	all, start := table{}, time.Now()
	for _, j := range jobs {
		t.Run(strings.ReplaceAll(j.name, " ", "_"), func(t *testing.T) { sweep(t, strace, j, all) })
	}
	text, tried, survived := all.print()
	t.Logf("system calls × faults: %d tried, %d survived, %.0f%%, in %v, seed %d (survived/tried by call)%s", tried, survived,
		100*float64(survived)/float64(max(tried, 1)), time.Since(start).Round(time.Second), *seed, text)
	if tried < 20 && everything() {
		t.Errorf("only %d faults happened: the test is blind", tried)
	}
}

func everything() bool {
	f := flag.Lookup("test.run")
	return f == nil || !strings.Contains(f.Value.String(), "/")
}

// sweep runs a job without a fault to learn which calls it makes, and then with one of them failing.
func sweep(t *testing.T, strace string, j job, all table) {
	dir := fresh(t, j)
	e := traced(t, strace, dir, "?"+strings.Join(calls, ",?"), "", j.argv)
	if e.code != j.done {
		t.Fatalf("without a fault: exit code %d, want %d\n%s", e.code, j.done, e.out)
	}
	ok(t, j.look(dir, e.code))
	rnd := rand.New(rand.NewPCG(*seed, uint64(len(j.name))))
	most, i := count(e.log), 0
	for _, call := range calls {
		for _, f := range kinds {
			if most[call] == 0 || !f.fits(call) {
				continue
			}
			if i++; !thorough && i%2 != len(j.name)%2 {
				continue // the other jobs have it
			}
			for _, n := range picks(rnd, most[call]) {
				if hit(t, strace, j, call, f, n, all.of(call, f.name)) && !thorough {
					break
				}
			}
		}
	}
}

func fresh(t *testing.T, j job) string {
	t.Helper()
	dir := filepath.Join(scratch(t), "run")
	ok(t, copyTree(j.ready, dir))
	return dir
}

// hit runs a job with one fault, and then without. It says whether the fault happened: the thread that made so many calls may
// have made fewer this time.
func hit(t *testing.T, strace string, j job, call string, f fault, n int, c *cell) bool {
	t.Helper()
	dir := fresh(t, j)
	defer os.RemoveAll(filepath.Dir(dir)) // there are thousands
	inject := fmt.Sprintf("%s:%s:when=%d", call, f.inject, n)
	e := traced(t, strace, dir, call, inject, j.argv)
	if !e.happened(f) && !e.halted {
		return false
	}
	c.tried++
	err := verdict(t, j, dir, e)
	if err != nil {
		t.Errorf("%s, %s: %v; exit code %d\n%s%s", j.name, inject, err, e.code, e.out, injected(e.log))
		return true
	}
	c.survived++
	return true
}

func verdict(t *testing.T, j job, dir string, e ended) error {
	if e.halted {
		return fmt.Errorf("it did not end within %v", patience)
	}
	if err := j.look(dir, e.code); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	if err := j.again(t, dir); err != nil {
		return fmt.Errorf("done again without faults: %w", err)
	}
	return nil
}

func injected(log string) (lines string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "INJECTED") {
			lines += line
		}
	}
	return lines
}
