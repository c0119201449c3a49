package tpmkey_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/tpmkey"
)

// TestLockout: wrong passwords of another program lock the TPM against passwords, and not against the device's key.
func TestLockout(t *testing.T) {
	tpm := agenttest.StartTPM(t)
	_, k := create(t, tpm.Device)
	raw, err := linuxudstpm.Open(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	oneTry(t, raw)
	if err := guess(t, raw); !errors.Is(err, tpm2.TPMRCAuthFail) {
		t.Fatalf("a wrong password: %v", err)
	}
	if err := guess(t, raw); !errors.Is(err, tpm2.TPMRCLockout) {
		t.Fatalf("the TPM is not locked: %v", err)
	}
	if err := signs(t, k); err != nil {
		t.Errorf("the device's key: %v", err)
	}
	if _, err := tpmkey.Create(tpm.Device); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// oneTry has the TPM lock itself after one wrong password, for a while (TPM2_DictionaryAttackParameters, which go-tpm lacks).
func oneTry(t *testing.T, tpm transport.TPM) {
	t.Helper()
	command := []byte{0x80, 0x02, 0, 0, 0, 39, 0, 0, 0x01, 0x3a} // with sessions; 39 bytes
	for _, word := range []uint32{uint32(tpm2.TPMRHLockout), 9, uint32(tpm2.TPMRSPW)} {
		command = binary.BigEndian.AppendUint32(command, word)
	}
	command = append(command, 0, 0, 0, 0, 0) // an empty password
	for _, word := range []uint32{1, 1000, 1000} {
		command = binary.BigEndian.AppendUint32(command, word)
	}
	answer, err := tpm.Send(command)
	if err != nil || len(answer) < 10 || binary.BigEndian.Uint32(answer[6:]) != 0 {
		t.Fatalf("% x, %v", answer, err)
	}
}

// guess uses a key of another program's with a wrong password.
func guess(t *testing.T, tpm transport.TPM) error {
	t.Helper()
	public := tpm2.ECCSRKTemplate
	public.ObjectAttributes.NoDA = false
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(public),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(tpm) }()
	parent := tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))}
	_, err = tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	return err
}

// TestAnswers: what a TPM refuses is said in words, with what to do.
func TestAnswers(t *testing.T) {
	file, _ := create(t, agenttest.StartTPM(t).Device)
	for code, want := range map[tpm2.TPMRC]string{
		tpm2.TPMRCLockout:           "it is locked after wrong passwords: wait, or let its owner reset it (tpm2_dictionarylockout -c)",
		tpm2.TPMRCObjectMemory:      "its memory is full of the keys of other programs: use /dev/tpmrm0",
		tpm2.TPMRCFailure:           "it has failed its self test",
		tpm2.TPMRCYielded:           "it is busy",
		tpm2.TPMRCHierarchy + 0x100: "its owner hierarchy is switched off in the firmware", // of the first handle
		tpm2.TPMRCInitialize:        "does not make the parent of the key",
	} {
		k, err := tpmkey.Open(answering(t, uint32(code)), file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := signs(t, k); err == nil || errors.Is(err, tpmkey.ErrOtherTPM) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("%#x: got %v, want %q", uint32(code), err, want)
		}
	}
}

// answering is a TPM that answers every command with one code.
func answering(t *testing.T, code uint32) (device string) {
	t.Helper()
	device = filepath.Join(t.TempDir(), "tpm")
	l, err := net.Listen("unix", device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	answer := binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, code) // no sessions; ten bytes
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				command := make([]byte, 4096)
				for {
					if _, err := c.Read(command); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return device
}
