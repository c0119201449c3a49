package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What reaches the world, by what it reaches. A test holds the world in its hands only where the code asks for it at a seam:
// durable.Disk, install.Device, boot.Bootloader, a clock, a dialer, a function that reboots.
var reaches = map[string][]string{
	"disk": {
		"os.Create", "os.CreateTemp", "os.OpenFile", "os.WriteFile", "os.Rename", "os.Remove", "os.RemoveAll", "os.Mkdir", "os.MkdirAll",
		"os.MkdirTemp", "os.Truncate", "os.Chmod", "os.Chtimes", "os.Link", "os.Symlink", "os.CopyFS",
		"durable.WriteFile", "durable.Create", "durable.SavePair", "durable.LoadPair", "durable.Remove", "durable.Rename",
		"durable.MkdirAll", "durable.SyncDir", "durable.SweepTemps", "durable.TryLock",
	},
	"clock":   {"time.Now", "time.Since", "time.Until"},
	"network": {"net.Dial", "net.DialTimeout", "net.Dialer", "net.Listen", "net.ListenPacket"},
	"process": {"exec.Command", "exec.CommandContext", "os.StartProcess", "unix.Reboot", "syscall.Reboot", "syscall.Exec", "unix.Exec"},
}

// seams says which room, or file of a room, may reach what, and why. All others of these rooms may not.
var seams = []struct{ room, what, why string }{
	{"agent/agent.go", "clock network", "the defaults of a real device"},
	{"agent/boot", "", ""},
	{"agent/outbox", "", ""},
	{"agent/wire", "", ""},
	{"agent/health/health.go", "clock", "how long a check took"},
	{"agent/health/hook.go", "process", "hooks are programs"},
	{"agent/install/slot.go", "disk", "the slot device itself"},
	{"agent/install/open.go", "disk", "the slot device itself"},
	{"agent/install", "clock", "pace and progress, by the monotonic clock: nothing of it is believed"},
	{"agent/link/dial.go", "network", "the default dialer"},
	{"agent/link", "clock", "timetables, by the monotonic clock; its tests turn it with testing/synctest"},
	{"agent", "", ""},
	{"tufrepo/client/client.go", "clock", "the default clock"},
	{"tufrepo/client/http.go", "clock", "the default clock"},
	{"tufrepo/client/httprate.go", "clock", "pace, by the monotonic clock"},
	{"tufrepo/client", "", ""},
	{"tufrepo/repo.go", "clock", "the default clock"},
	{"tufrepo/pack.go", "disk", "a packed repository is a file beside it, for people"},
	{"tufrepo", "", ""},
	{"firmware/durable", "disk", "it is the seam"},
}

// TestTheWorldIsReachedThroughSeams reads the code of the rooms, without their tests.
func TestTheWorldIsReachedThroughSeams(t *testing.T) {
	found := map[string]bool{}
	for _, room := range []string{"agent", "agent/boot", "agent/outbox", "agent/wire", "agent/health", "agent/install", "agent/link",
		"tufrepo", "tufrepo/client", "firmware/durable"} {
		files, err := filepath.Glob(filepath.Join("../..", room, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", room, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			checkReach(t, room, file, found)
		}
	}
	for what := range reaches {
		if !found[what] {
			t.Errorf("nothing reaches the %s anywhere: the test is blind", what)
		}
	}
}

func checkReach(t *testing.T, room, file string, found map[string]bool) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for what, names := range reaches {
			if !slices.Contains(names, pkg.Name+"."+sel.Sel.Name) {
				continue
			}
			found[what] = true
			if !mayReach(room, filepath.Base(file), what) {
				t.Errorf("%s: %s.%s reaches the %s past its seam", fset.Position(sel.Pos()), pkg.Name, sel.Sel.Name, what)
			}
		}
		return true
	})
}

func mayReach(room, file, what string) bool {
	for _, s := range seams {
		if (s.room == room || s.room == room+"/"+file) && slices.Contains(strings.Fields(s.what), what) {
			return true
		}
	}
	return false
}
