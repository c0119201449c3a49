package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDemo tells the whole story with a fleet of three.
func TestDemo(t *testing.T) {
	bin := t.TempDir()
	for _, pkg := range []string{"signer/cmd/fairlead-sign", "tufrepo/cmd/fairlead-repo", "simulator/cmd/fairlead-sim"} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w",
			"-o", filepath.Join(bin, filepath.Base(pkg)), "github.com/fairlead/fairlead/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Setenv("UNITS", "3")
	t.Setenv("IMAGE_V1", "")
	t.Setenv("IMAGE_V2", "")
	if err := run(t.Context(), bin, false); err != nil {
		t.Fatal(err)
	}
}
