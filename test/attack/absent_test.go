package attack

import (
	"os/exec"
	"strings"
	"testing"
)

// TestFeaturesThatAreNotThere: attacks on what a program does not have cannot touch it. Each program is held to its list.
func TestFeaturesThatAreNotThere(t *testing.T) {
	tuf := "github.com/theupdateframework/go-tuf/v2/metadata/"
	signOn := []string{"oidc", "saml", "jose", "jwt"}
	for program, absent := range map[string][]string{
		"agent/cmd/fairlead-agent": append([]string{
			"archive/tar", "text/template", "encoding/gob", "plugin", "net/rpc", // no archive but a pack, no scripts, no server
			tuf + "updater", tuf + "multirepo", tuf + "config", tuf + "fetcher", // one repository, and a client of our own
			"lua", "javascript", "starlark",
		}, signOn...),
		"tufrepo/service": append([]string{"plugin", "html/template", tuf + "multirepo"}, signOn...),
	} {
		cmd := exec.Command("go", "list", "-deps", "./"+program)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "fairlead/fairlead/"+program) {
			t.Fatalf("go list %s: %v", program, err)
		}
		for _, dep := range strings.Fields(string(out)) {
			for _, a := range absent {
				if dep == a || !strings.Contains(a, "/") && has(dep, a) {
					t.Errorf("%s has %s", program, dep)
				}
			}
		}
	}
}

// has says whether a path has a part that is, or begins or ends with, a word.
func has(path, word string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == word || strings.HasPrefix(part, "go-"+word) || strings.HasSuffix(part, "-"+word) {
			return true
		}
	}
	return false
}
