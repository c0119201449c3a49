package keyref

import (
	"encoding/asn1"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// FuzzPlain: what an agent calls a signature is turned into ASN.1 that says the same, or refused.
func FuzzPlain(f *testing.F) {
	f.Add(ssh.KeyAlgoECDSA256, ssh.Marshal(struct{ R, S *big.Int }{big.NewInt(1), big.NewInt(-1)}))
	f.Add(ssh.KeyAlgoED25519, []byte("64 bytes"))
	f.Add("ssh-rsa", []byte{})
	f.Fuzz(func(t *testing.T, format string, blob []byte) {
		sig, err := plain(&ssh.Signature{Format: format, Blob: blob})
		if err != nil || format != ssh.KeyAlgoECDSA256 {
			return
		}
		var rs struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(sig, &rs); err != nil || len(rest) > 0 {
			t.Errorf("%x became %x: %v", blob, sig, err)
		}
	})
}

// FuzzHeld: no key that an agent shows is taken for one that metadata can carry unless it is.
func FuzzHeld(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20 0123456789012345678901234567890"))
	f.Add([]byte("\x00\x00\x00\x1ask-ssh-ed25519@openssh.com\x00"))
	f.Fuzz(func(t *testing.T, blob []byte) {
		h := readHeld(&agent.Key{Format: "ssh-ed25519", Blob: blob, Comment: "c"})
		if h.pub == nil {
			return
		}
		if _, err := found("c", "c", h.pub, agentKey{}); err != nil {
			t.Errorf("%x: %v", blob, err)
		}
	})
}
