package keyref_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// sshAgent starts OpenSSH's agent and makes keys of these types in it, each with its type as its comment.
func sshAgent(t *testing.T, types ...string) {
	t.Helper()
	if _, err := exec.LookPath("ssh-agent"); err != nil {
		t.Fatal("ssh-agent is missing: apt-get install openssh-client")
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	if _, err := out.Read(make([]byte, 100)); err != nil { // it says where it listens once it does
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", socket)
	for _, typ := range types {
		path := filepath.Join(dir, typ)
		name, bits, _ := strings.Cut(typ, "-")
		args := []string{"-q", "-N", "", "-C", typ, "-f", path, "-t", name}
		if bits != "" {
			args = append(args, "-b", bits)
		}
		command(t, "ssh-keygen", args...)
		command(t, "ssh-add", "-q", path)
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestAgent(t *testing.T) {
	sshAgent(t, "ed25519", "ecdsa-256", "ecdsa-384", "rsa-2048")
	listed, err := keyref.List(context.Background(), "ssh-agent:", keyref.Options{})
	if err != nil || len(listed) != 4 {
		t.Fatalf("%+v, %v", listed, err)
	}
	for _, l := range listed {
		can := l.Name == "ed25519" || l.Name == "ecdsa-256"
		if can != (l.Unusable == "") {
			t.Errorf("%s: unusable: %q", l.Name, l.Unusable)
		}
		for _, ref := range []string{l.Ref, "ssh-agent:" + l.Name} {
			k, err := keyref.Open(context.Background(), ref, keyref.Options{})
			if !can {
				if err == nil || !strings.Contains(err.Error(), "devices cannot verify it") {
					t.Errorf("%s: %v", ref, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.ID() != l.ID {
				t.Errorf("%s leads to %s, listed was %s", ref, k.ID(), l.ID)
			}
			// Numbers of an ECDSA signature may be short or have a leading zero.
			for range 20 {
				if _, err := k.SignMessage(strings.NewReader("release")); err != nil {
					t.Fatalf("%s: %v", ref, err)
				}
			}
		}
	}
	if _, err := keyref.Open(context.Background(), "ssh-agent:carol", keyref.Options{}); err == nil || !strings.Contains(err.Error(), `no key "carol"; it has SHA256:`) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestAgentThatLosesTheKey(t *testing.T) {
	sshAgent(t, "ed25519")
	k, err := keyref.Open(context.Background(), "ssh-agent:ed25519", keyref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	command(t, "ssh-add", "-q", "-D")
	if _, err := k.SignMessage(strings.NewReader("release")); err == nil || !strings.Contains(err.Error(), "is the key still there (ssh-add -l)") {
		t.Errorf("%v", err)
	}
}

// fakeAgent answers every message with the same bytes, or never.
func fakeAgent(t *testing.T, answer []byte) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			c.Write(answer)
		}
	}()
}

func TestLyingAgents(t *testing.T) {
	for name, tc := range map[string]struct {
		answer []byte
		want   string
	}{
		"never answers":   {nil, "ssh-agent did not answer within 200ms"},
		"garbage":         {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "ssh-agent"},
		"failure":         {[]byte{0, 0, 0, 1, 5}, "ssh-agent"},
		"many keys":       {[]byte{0, 0, 0, 5, 12, 255, 255, 255, 255}, "ssh-agent"},
		"a key of zeros":  {append([]byte{0, 0, 0, 17, 12, 0, 0, 0, 1, 0, 0, 0, 4}, make([]byte, 8)...), `no key "alice"`},
		"another message": {[]byte{0, 0, 0, 9, 14, 0, 0, 0, 4, 1, 2, 3, 4}, "ssh-agent"},
	} {
		t.Run(name, func(t *testing.T) {
			fakeAgent(t, tc.answer)
			_, err := keyref.Open(context.Background(), "ssh-agent:alice", keyref.Options{Limit: 200 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want it to say %q", err, tc.want)
			}
		})
	}
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "gone"))
	_, err := keyref.Open(context.Background(), "ssh-agent:alice", keyref.Options{})
	if err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start one with: eval $(ssh-agent)") {
		t.Errorf("no agent: %v", err)
	}
}

func TestAgentKeyIsWhatMetadataCarries(t *testing.T) {
	sshAgent(t, "ecdsa-256")
	k, err := keyref.Open(context.Background(), "ssh-agent:ecdsa-256", keyref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := keyfile.CheckTUFKey(k.ID(), k.TUFKey()); err != nil {
		t.Error(err)
	}
}
