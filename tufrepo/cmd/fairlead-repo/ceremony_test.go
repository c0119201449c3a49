package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// TestCeremonyDrills types the commands of docs/ceremony.md into a shell, those of each drill in an empty folder behind
// those of section Before. Then a device that has slept since the first root finds the release, and so does go-tuf's client.
func TestCeremonyDrills(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ceremony.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")[1:]
	before := commands(sections[0])
	buildTools(t) // before the drills' minutes begin
	for title, want := range map[string]struct {
		roots int64
		says  []string
	}{
		"Keys are lost":         {2, []string{"two of three: exit code 4", "root .* 3 of 3 .*alice, bob, carol .*frank, grace"}},
		"The threshold changes": {3, []string{"enough for the old root, not for the new: exit code 5"}},
		"The algorithm changes": {2, []string{"timestamp-p256 .*ecdsa-p256"}},
		"The root has expired":  {3, []string{"somebody has to see to it: exit code 6", "attention: root 2 expires"}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(s, title+"\n") })
			if i < 0 {
				t.Fatal("the page has no such drill")
			}
			dir := t.TempDir()
			out, err := runScript(t, dir, "set -e\n"+before+commands(sections[i]))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, says := range want.says {
				if !matches(out, says) {
					t.Errorf("nothing says %q:\n%s", says, out)
				}
			}
			repo := filepath.Join(dir, "repo")
			sleeperArrives(t, repo, want.roots)
			goTUFArrives(t, repo, want.roots)
		})
	}
	if len(sections) != 5 {
		t.Errorf("%d sections: is there a drill that nobody runs?", len(sections))
	}
}

// matches tells whether a line of text has all parts of the pattern, in their order.
func matches(text, pattern string) bool {
	for line := range strings.Lines(text) {
		found := true
		for _, part := range strings.Split(pattern, ".*") {
			_, rest, ok := strings.Cut(line, strings.TrimSpace(part))
			line, found = rest, found && ok
		}
		if found {
			return true
		}
	}
	return false
}

// commands are those of a section's blocks.
func commands(section string) string {
	var script strings.Builder
	for n, part := range strings.Split(section, "\n```\n") {
		if n%2 == 1 {
			script.WriteString(part + "\n")
		}
	}
	return script.String()
}

func pinned(t *testing.T, repo string) []byte {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(repo, "metadata/1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func sleeperArrives(t *testing.T, repo string, root int64) {
	t.Helper()
	c, err := client.Open(client.Config{Root: pinned(t, repo), Source: client.FSSource(os.DirFS(repo))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	target, err := c.Target(t.Context(), "cam/1.0.0.json")
	if err != nil {
		t.Fatalf("a device that slept since the first root: %v", err)
	}
	if _, err := c.Manifest(t.Context(), target); err != nil {
		t.Error(err)
	}
	if v := c.Versions().Root; v != root {
		t.Errorf("it arrives at root %d, want %d", v, root)
	}
}

func goTUFArrives(t *testing.T, repo string, root int64) {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(repo)))
	defer s.Close()
	cfg, err := tufconfig.New(s.URL+"/metadata", pinned(t, repo))
	if err != nil {
		t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.RemoteTargetsURL = t.TempDir(), t.TempDir(), s.URL+"/targets"
	u, err := updater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Refresh(); err != nil {
		t.Fatalf("go-tuf's client: %v", err)
	}
	info, err := u.GetTargetInfo("cam/1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := u.DownloadTarget(info, filepath.Join(cfg.LocalTargetsDir, "manifest"), ""); err != nil {
		t.Error(err)
	}
	if v := u.GetTrustedMetadataSet().Root.Signed.Version; v != root {
		t.Errorf("go-tuf's client arrives at root %d, want %d", v, root)
	}
}
