package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// TestTokens runs testdata/tokens/*.txtar with SoftHSM's module behind the real plugin, and with OpenSSH's agent. Beside
// what TestScripts has they use:
//
//	gotuf REPO TARGET   go-tuf's own updater finds the target
//
// and $MODULE, SoftHSM's module; SOFTHSM2_CONF is set to a folder of the script's own.
func TestTokens(t *testing.T) {
	env := tokenTools(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/tokens",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("PATH", env.plugin+":"+e.Getenv("PATH"))
			e.Setenv("PLUGIN", env.plugin)
			e.Setenv("MODULE", env.module)
			e.Setenv("SOFTHSM2_CONF", filepath.Join(e.WorkDir, "softhsm2.conf"))
			return softHSM(e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "takes": takes, "gotuf": gotuf,
		},
	})
}

// TestKeysPage types the commands of docs/keys.md into a shell: all blocks that are marked "sh".
func TestKeysPage(t *testing.T) {
	env := tokenTools(t)
	page, err := os.ReadFile("../../../docs/keys.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -e\ntrap 'test -z \"$SSH_AGENT_PID\" || kill $SSH_AGENT_PID' EXIT\n"
	for _, part := range strings.Split(string(page), "```sh\n")[1:] {
		commands, _, ok := strings.Cut(part, "\n```\n")
		if !ok {
			t.Fatal("a block has no end")
		}
		script += commands + "\n"
	}
	dir := t.TempDir()
	if err := softHSM(dir); err != nil {
		t.Fatal(err)
	}
	script = strings.ReplaceAll(script, "/usr/lib/softhsm/libsofthsm2.so", env.module)
	sh := exec.CommandContext(t.Context(), "sh", "-c", script)
	sh.Dir = dir
	sh.Env = append(os.Environ(), "PATH="+env.plugin+":"+os.Getenv("PATH"), "SOFTHSM2_CONF="+dir+"/softhsm2.conf", "GORACE=atexit_sleep_ms=0")
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"type ecdsa-p256", "signed by alice (", ", bob@signing (", "signed by carol (", "first: bundle, verified"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
}

type tokenEnv struct{ plugin, module string }

// tokenTools finds SoftHSM and builds the plugin where the next run finds it linked.
func tokenTools(t *testing.T) tokenEnv {
	t.Helper()
	for tool, pkg := range map[string]string{"softhsm2-util": "softhsm2", "ssh-agent": "openssh-client", "openssl": "openssl", "cc": "gcc libc6-dev"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", tool, pkg)
		}
	}
	places := []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"}
	i := slices.IndexFunc(places, func(p string) bool { _, err := os.Stat(p); return err == nil })
	if i < 0 {
		t.Fatalf("SoftHSM's module is at none of %v: apt-get install softhsm2", places)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin", "tokens")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin+"/", "./signer/cmd/sigstore-kms-pkcs11")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return tokenEnv{bin, places[i]}
}

// softHSM gives SoftHSM a folder for its tokens.
func softHSM(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		return err
	}
	conf := fmt.Sprintf("directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", dir)
	return os.WriteFile(filepath.Join(dir, "softhsm2.conf"), []byte(conf), 0o600)
}

func gotuf(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer s.Close()
	cfg, err := tufconfig.New(s.URL+"/metadata", []byte(ts.ReadFile(filepath.Join(dir, "metadata/1.root.json"))))
	ts.Check(err)
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = ts.MkAbs("gotuf"), ts.MkAbs("gotuf")
	cfg.RemoteTargetsURL = s.URL + "/targets"
	ts.Check(os.MkdirAll(cfg.LocalMetadataDir, 0o700))
	u, err := updater.New(cfg)
	ts.Check(err)
	ts.Check(u.Refresh())
	_, err = u.GetTargetInfo(args[1])
	ts.Check(err)
}
