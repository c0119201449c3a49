package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestDemo tells the whole story with a fleet of three, and images of half the size.
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
	d, err := prepare(bin)
	if err != nil {
		t.Fatal(err)
	}
	d.size, d.tick = d.size/2, time.Second // each look starts a program
	if err := d.run(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}
