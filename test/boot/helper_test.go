package boot

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
)

// script is the part of docs/boot.md that follows the comment "<!-- name -->", without its fence.
func script(t testing.TB, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/boot.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- "+name+" -->\n```sh\n")
	text, _, ok2 := strings.Cut(rest, "\n```\n")
	if !ok || !ok2 {
		t.Fatalf("docs/boot.md has no script %q", name)
	}
	return text + "\n"
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// need finds programs of Debian's; without them nothing is tested, and the log says so.
func need(t *testing.T, debian string, names ...string) bool {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if _, err := os.Stat("/usr/sbin/" + name); err == nil {
				t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
				continue
			}
			t.Logf("NOT TESTED: %s is missing: apt-get install %s", name, debian)
			return false
		}
	}
	return true
}

// run runs a program to its end, or kills it.
func run(t testing.TB, limit time.Duration, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out.Bytes())
	}
	return out.String()
}

// row is one environment: two copies.
type row struct {
	name   string
	copies [2][]byte
}

// outcome is what a bootloader made of a row.
type outcome struct {
	slot   boot.Slot
	copies [2][]byte
}
