package logkey_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
)

// Hundreds of keys, because base64 has the plus that parts the fields.
func TestPublicHalvesVerify(t *testing.T) {
	for range 200 {
		skey, err := logkey.New("fw.example.com/releases")
		if err != nil {
			t.Fatal(err)
		}
		vkey, err := logkey.Public(skey)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil || verifier.KeyHash() != signer.KeyHash() {
			t.Fatalf("%s does not belong to its key: %v", vkey, err)
		}
		cosigner, err := f_note.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		wkey, err := logkey.Witness(skey)
		if err != nil {
			t.Fatal(err)
		}
		both, err := f_note.NewVerifierForCosignatureV1(wkey)
		if err != nil || both.KeyHash() != cosigner.KeyHash() {
			t.Fatalf("%s does not belong to its key: %v", wkey, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	if _, err := logkey.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	skey, err := logkey.New("fw.example.com/releases")
	if err != nil {
		t.Fatal(err)
	}
	if err := logkey.Write(durable.Disk{}, path, skey); err != nil {
		t.Fatal(err)
	}
	if err := logkey.Write(durable.Disk{}, path, skey); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over it: %v", err)
	}
	if got, err := logkey.Read(path); err != nil || got != skey {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := logkey.Read(path); !errors.Is(err, keyfile.ErrPermissions) {
		t.Errorf("a file that others can read: %v", err)
	}
	for _, text := range []string{"", "hello\n", strings.Replace(skey, "PRIVATE", "PUBLIC", 1), skey[:len(skey)-8], skey + "\n\n"} {
		bad := filepath.Join(t.TempDir(), "bad.key")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := logkey.Read(bad); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "a b", "a+b", "https://fw.example.com", "a\nb", strings.Repeat("a", 201)} {
		if _, err := logkey.New(name); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}
