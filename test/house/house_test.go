// Package house keeps the rules of the house: which room may import which, and how large the device's binary may be.
package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/fairlead/fairlead/"

// rules name, for each room, what it must not reach, directly or through others.
var rules = []struct {
	room   string // a package pattern below the module
	banned []string
}{
	{"firmware/...", []string{module + "agent", module + "tufrepo", module + "signer", module + "simulator"}},
	{"tufrepo/client", []string{module + "agent", module + "signer", module + "simulator", module + "tufrepo/director", module + "tufrepo/bundle"}},
	{"tufrepo/...", []string{module + "signer", module + "simulator"}},
	// The gate of the publisher alone proves identities: the library for it weighs as much as an agent.
	{"tufrepo/service/...", []string{sigstore}},
	{"tufrepo", []string{sigstore}},
	{"simulator/...", []string{sigstore}},
	{"signer/...", []string{module + "agent", module + "simulator", module + "tufrepo/director", "modernc.org/sqlite", "github.com/mochi-mqtt", "net/http/httputil", sigstore}},
	{"agent/cmd/fairlead-agent", []string{
		module + "signer", module + "simulator", module + "tufrepo/director", module + "tufrepo/bundle",
		module + "tufrepo/service", module + "tufrepo/cmd", module + "tufrepo/tlog/logdir", module + "tufrepo/tlog/logread",
		module + "tufrepo/tlog/witness", module + "tufrepo/tlog/monitor", "github.com/transparency-dev/tessera", "modernc.org/sqlite", "database/sql", "github.com/mochi-mqtt",
		"github.com/prometheus", "github.com/rogpeppe", "testing", sigstore,
	}},
	// Only simulator/site has people and a service; the fleet and its world know neither.
	{"simulator/fleet", []string{module + "signer", module + "tufrepo/director", "modernc.org/sqlite"}},
	{"simulator/scenario", []string{module + "signer", module + "tufrepo/director", "modernc.org/sqlite"}},
	{"simulator/report", []string{module + "agent", module + "signer", module + "tufrepo", "modernc.org/sqlite"}},
	{"simulator/network", []string{module + "agent", module + "signer", module + "tufrepo", "modernc.org/sqlite"}},
}

const sigstore = "github.com/sigstore/sigstore-go"

// sqlInterfaces come with the library for UUIDs, which can be stored in databases; they bring no database.
const sqlInterfaces = "database/sql/driver"

func TestImportsPointDown(t *testing.T) {
	for _, rule := range rules {
		t.Run(strings.ReplaceAll(rule.room, "/", "_"), func(t *testing.T) {
			deps := list(t, "-deps", "./"+rule.room)
			if len(deps) < 2 {
				t.Fatalf("go list found only %v: the rule watches nothing", deps)
			}
			for _, dep := range deps {
				for _, banned := range rule.banned {
					if dep == banned || strings.HasPrefix(dep, banned+"/") && dep != sqlInterfaces {
						t.Errorf("%s reaches %s", rule.room, dep)
					}
				}
			}
		})
	}
}

func TestAgentDoesNotReachRepositoryRoot(t *testing.T) {
	for _, dep := range list(t, "-deps", "./agent/cmd/fairlead-agent") {
		if dep == strings.TrimSuffix(module, "/")+"/tufrepo" {
			t.Errorf("the agent reaches %s, the server's side of the repository", dep)
		}
	}
}

func TestNothingImportsTest(t *testing.T) {
	for _, line := range list(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}} {{join .TestImports \" \"}}", "./...") {
		fields := strings.Fields(line)
		for _, imported := range fields[1:] {
			if strings.HasPrefix(imported, module+"test/") && !strings.HasPrefix(fields[0], module+"test/") {
				t.Errorf("%s imports %s", fields[0], imported)
			}
		}
	}
}

// maxAgent is the most that the agent may take on a device's root filesystem, in bytes: stripped, linux/arm64.
const maxAgent = 12_000_000

func TestAgentBinaryFitsTheDevice(t *testing.T) {
	out := filepath.Join(t.TempDir(), "fairlead-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", out,
		module+"agent/cmd/fairlead-agent")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxAgent {
		t.Errorf("the agent has %d bytes, %d too many", info.Size(), info.Size()-maxAgent)
	}
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
