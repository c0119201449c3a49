package tpmkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/tpmkey"
)

func signs(t *testing.T, k *tpmkey.Key) error {
	t.Helper()
	digest := sha256.Sum256([]byte("hello"))
	sig, err := k.Sign(nil, digest[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Error("the signature does not verify")
	}
	return err
}

func create(t *testing.T, device string) ([]byte, *tpmkey.Key) {
	t.Helper()
	file, err := tpmkey.Create(device)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpmkey.Open(device, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file, k
}

// TestKey: a key signs digests of three lengths and certificate requests, from several goroutines, and after the TPM was off.
func TestKey(t *testing.T) {
	tpm := agenttest.StartTPM(t)
	_, k := create(t, tpm.Device)
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest := hash.New().Sum(nil)
		sig, err := k.Sign(nil, digest, hash)
		if err != nil || !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest, sig) {
			t.Errorf("%v: %v", hash, err)
		}
	}
	for _, bad := range []struct {
		digest []byte
		hash   crypto.Hash
	}{{make([]byte, 20), crypto.SHA1}, {make([]byte, 31), crypto.SHA256}, {nil, 0}} {
		if _, err := k.Sign(nil, bad.digest, bad.hash); err == nil {
			t.Errorf("%d bytes of hash %d are signed", len(bad.digest), bad.hash)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := x509.ParseCertificateRequest(csr); err != nil || parsed.CheckSignature() != nil {
		t.Errorf("certificate request: %v", err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := signs(t, k); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	tpm.Stop()
	if err := signs(t, k); err == nil || !strings.Contains(err.Error(), "TPM") {
		t.Errorf("the TPM is off: %v", err)
	}
	tpm.Start()
	if err := signs(t, k); err != nil {
		t.Errorf("the TPM is on again: %v", err)
	}
}

// TestNoUse says what is wrong with the TPM, in words that help.
func TestNoUse(t *testing.T) {
	one, two := agenttest.StartTPM(t), agenttest.StartTPM(t)
	file, k := create(t, one.Device)

	other, err := tpmkey.Open(two.Device, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := signs(t, other); !errors.Is(err, tpmkey.ErrOtherTPM) {
		t.Errorf("another TPM: %v", err)
	}
	gone, err := tpmkey.Open(filepath.Join(t.TempDir(), "tpmrm0"), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := signs(t, gone); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is it switched on in the firmware") {
		t.Errorf("no TPM: %v", err)
	}
	if _, err := tpmkey.Create("/dev/null/tpm"); err == nil {
		t.Error("a TPM below a device")
	}
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tpmkey.Create(plain); err == nil || !strings.Contains(err.Error(), "cannot be opened") {
		t.Errorf("a plain file for a TPM: %v", err)
	}

	raw, err := linuxudstpm.Open(one.Device)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	owner := tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("secret")}}
	if _, err := owner.Execute(raw); err != nil {
		t.Fatal(err)
	}
	if err := signs(t, k); err == nil || !strings.Contains(err.Error(), "its owner hierarchy has a password") {
		t.Errorf("the owner has set a password: %v", err)
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(raw); err != nil {
		t.Fatal(err)
	}
	if err := signs(t, k); !errors.Is(err, tpmkey.ErrOtherTPM) {
		t.Errorf("the TPM was cleared: %v", err)
	}
}

// TestFile: OpenSSL knows the form, and what is not a key file is refused with a reason.
func TestFile(t *testing.T) {
	tpm := agenttest.StartTPM(t)
	file, _ := create(t, tpm.Device)
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "asn1parse", "-in", name).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2.23.133.10.1.3") || !strings.Contains(string(out), ":40000001") {
		t.Errorf("%v\n%s", err, out)
	}
	block, _ := pem.Decode(file)
	for name, c := range map[string]struct{ file, why string }{
		"empty":            {"", "not one PEM block"},
		"too long":         {strings.Repeat("x", 9000), "more than 8192"},
		"another type":     {strings.ReplaceAll(string(file), "TSS2 ", ""), "not one PEM block"},
		"two blocks":       {string(file) + string(file), "not one PEM block"},
		"cut":              {string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:50]})), "DER"},
		"with a password":  {altered(block, "\xa0\x03\x01\x01\xff", "\xa0\x03\x01\x01\x00"), "password"},
		"another parent":   {altered(block, "\x02\x04\x40\x00\x00\x01", "\x02\x04\x40\x00\x00\x07"), "parent"},
		"sealed data":      {altered(block, "\x67\x81\x05\x0a\x01\x03", "\x67\x81\x05\x0a\x01\x05"), "parent"},
		"public part":      {altered(block, "\x00\x23\x00\x0b", "\x00\xff\x00\x0b"), "public part"},
		"off the curve":    {altered(block, "\x00\x20", "\x00\x1f"), ""},
		"trailing garbage": {string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: append(block.Bytes[:len(block.Bytes):len(block.Bytes)], 0)})), "DER"},
	} {
		if _, err := tpmkey.Open(tpm.Device, []byte(c.file), nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func altered(b *pem.Block, old, now string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: []byte(strings.Replace(string(b.Bytes), old, now, 1))}))
}

// FuzzFile: no file makes a reader panic, and none but whole ones are taken.
func FuzzFile(f *testing.F) {
	f.Add([]byte("-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n"))
	f.Add([]byte(sample))

	f.Fuzz(func(t *testing.T, file []byte) {
		if k, err := tpmkey.Open("", file, nil); err == nil && k.Public() == nil {
			t.Error("a key without a public half")
		}
	})
}

// sample is the file of a key in a TPM that is no more.
const sample = `-----BEGIN TSS2 PRIVATE KEY-----
MIHwBgZngQUKAQOgAwEB/wIEQAAAAQRYAFYAIwALAAQEcgAAABAAEAADABAAICYC
QoWL6+Tqmj9wqJkoWkIe90OnwR06sdiiAOYeE21AACBsTfGPXQhb+Pc5aKp8AhOb
QPX40wwCu0y8+1IziUNBUgSBgAB+ACCulmDsQeIaJz1wQcMN0aTohFAqscvkOEkt
tFWvKDcUiwAQYF2VJC2yQ39hRpENrM8OQEVPJj6ILNspzEZDQwR3X20JTqMbfBJw
RPJ5xac8GT0VU06REisNEZRNHIZuAMnu8sl3aQHl196/ED2wXARdSVFuQN6cTZv1
/keH
-----END TSS2 PRIVATE KEY-----
`
