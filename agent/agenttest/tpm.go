package agenttest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TPM is a TPM 2.0 in software: swtpm, of the Debian package of that name.
type TPM struct {
	Device string // its socket, which takes the place of a device file
	t      testing.TB
	state  string
	cmd    *exec.Cmd
}

// StartTPM starts a new TPM, which ends with the test.
func StartTPM(t testing.TB) *TPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Fatal("swtpm is missing: apt-get install swtpm")
	}
	dir, err := os.MkdirTemp("", "tpm") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	tpm := &TPM{Device: filepath.Join(dir, "s"), t: t, state: dir}
	t.Cleanup(func() { tpm.Stop(); os.RemoveAll(dir) })
	tpm.Start()
	return tpm
}

// Start switches it on.
func (p *TPM) Start() {
	p.t.Helper()
	p.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+p.state, "--server", "type=unixio,path="+p.Device,
		"--flags", "not-need-init,startup-clear", "--seccomp", "action=none")
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for range 500 {
		if c, err := net.Dial("unix", p.Device); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond) // until another process listens
	}
	p.t.Fatal("swtpm does not listen")
}

// Stop switches it off; what is in it stays.
func (p *TPM) Stop() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}
