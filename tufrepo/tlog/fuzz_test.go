package tlog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// rehash gives a vkey the hash of the name and key that it has.
func rehash(vkey string) string {
	name, rest, _ := strings.Cut(vkey, "+")
	_, key, _ := strings.Cut(rest, "+")
	raw, _ := base64.StdEncoding.DecodeString(key)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return name + "+" + hex.EncodeToString(sum[:4]) + "+" + key
}

func seed(f *testing.F, names ...string) {
	for _, name := range names {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzParseProof(f *testing.F) {
	seed(f, "cam-1.0.0.tlog-proof")
	refusedtest.Seed(f, "proof")
	policyText, err := os.ReadFile("testdata/policy.txt")
	if err != nil {
		f.Fatal(err)
	}
	policy, err := tlog.ParsePolicy(policyText)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tlog.ParseProof(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), b) {
			t.Error("it does not print back")
		}
		if _, err := policy.Verify([]byte("not in any log"), b); err == nil {
			t.Error("it proves what is in no log")
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	seed(f, "policy.txt")
	refusedtest.Seed(f, "policy")
	f.Add([]byte("quorum none\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tlog.ParsePolicy(b)
		if err != nil {
			return
		}
		if p.Quorum() != "none" && p.Enough(nil) {
			t.Errorf("nobody is enough for %s", p.Quorum())
		}
		seen := map[string]bool{}
		for _, w := range p.Witnesses {
			_, key, _ := strings.Cut(w.Key[strings.Index(w.Key, "+")+1:], "+")
			if seen[key] {
				t.Error("one key is two witnesses")
			}
			seen[key] = true
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	seed(f, "leaf.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := tlog.ParseLeaf(b)
		if err != nil {
			return
		}
		if again, err := l.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s prints as %s, %v", b, again, err)
		}
	})
}
