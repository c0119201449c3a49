package keyfile_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func generate(t *testing.T, alg keyfile.Algorithm) crypto.Signer {
	t.Helper()
	key, err := keyfile.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func phrase(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func TestSaveAndLoad(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.Ed25519, keyfile.ECDSAP256} {
		for _, pass := range []string{"", "correct horse"} {
			t.Run(string(alg)+"/"+pass, func(t *testing.T) {
				key := generate(t, alg)
				path := filepath.Join(t.TempDir(), "alice.key")
				if err := keyfile.Save(path, key, []byte(pass)); err != nil {
					t.Fatal(err)
				}
				got, err := keyfile.Load(path, phrase(pass))
				if err != nil {
					t.Fatal(err)
				}
				if err := cryptoutils.EqualKeys(key.Public(), got.Public()); err != nil {
					t.Error(err)
				}
				if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("mode %v, error %v, want 0600", st.Mode(), err)
				}
			})
		}
	}
}

func TestEncryptedFileHidesTheKey(t *testing.T) {
	key := generate(t, keyfile.Ed25519)
	path := filepath.Join(t.TempDir(), "alice.key")
	if err := keyfile.Save(path, key, []byte("correct horse")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")) {
		t.Errorf("the file begins %.50q", data)
	}
	for name, pass := range map[string]func() ([]byte, error){
		"wrong": phrase("wrong horse"), "empty": phrase(""), "nobody to ask": nil,
	} {
		if _, err := keyfile.Load(path, pass); !errors.Is(err, keyfile.ErrPassphrase) {
			t.Errorf("%s passphrase: %v, want ErrPassphrase", name, err)
		}
	}
}

func TestSaveNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alice.key")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := generate(t, keyfile.Ed25519)
	if err := keyfile.Save(path, key, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Save: %v, want fs.ErrExist", err)
	}
	if err := keyfile.SavePublic(path, key.Public()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("SavePublic: %v, want fs.ErrExist", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("the file became %q", data)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.key")
	if err := keyfile.Save(good, generate(t, keyfile.Ed25519), nil); err != nil {
		t.Fatal(err)
	}
	block, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	weak, _ := cryptoutils.MarshalPrivateKeyToPEM(p384)
	for _, tc := range []struct {
		name string
		data []byte
		mode fs.FileMode
		want string
	}{
		{"group can read", block, 0o640, "chmod 600"},
		{"world can read", block, 0o604, "chmod 600"},
		{"empty", nil, 0o600, "is not PEM"},
		{"torn", block[:len(block)/2], 0o600, "is not PEM"},
		{"two keys", append(bytes.Clone(block), block...), 0o600, "more than one"},
		{"huge", bytes.Repeat([]byte("#"), keyfile.MaxFile+1), 0o600, "larger than"},
		{"P-384", weak, 0o600, "P-256"},
		{"foreign", []byte("-----BEGIN DOG-----\nAAAA\n-----END DOG-----\n"), 0o600, "DOG"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.key")
			if err := os.WriteFile(path, tc.data, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := keyfile.Load(path, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
			if (tc.mode != 0o600) != errors.Is(err, keyfile.ErrPermissions) {
				t.Errorf("%v: ErrPermissions is for modes only", err)
			}
		})
	}
}

func TestPublic(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.Ed25519, keyfile.ECDSAP256} {
		key := generate(t, alg)
		path := filepath.Join(t.TempDir(), "alice.pub")
		if err := keyfile.SavePublic(path, key.Public()); err != nil {
			t.Fatal(err)
		}
		pub, err := keyfile.LoadPublic(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := cryptoutils.EqualKeys(key.Public(), pub); err != nil {
			t.Error(err)
		}
		if got, err := keyfile.AlgorithmOf(pub); err != nil || got != alg {
			t.Errorf("AlgorithmOf = %q, %v, want %q", got, err, alg)
		}
		private := filepath.Join(t.TempDir(), "alice.key")
		if err := keyfile.Save(private, key, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := keyfile.LoadPublic(private); err == nil {
			t.Error("a private key was taken for a public one")
		}
	}
}

func TestSignerSignsWhatGoTUFVerifies(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.Ed25519, keyfile.ECDSAP256} {
		s, err := keyfile.NewSigner(generate(t, alg))
		if err != nil {
			t.Fatal(err)
		}
		root := metadata.Root()
		if err := root.Signed.AddKey(s.TUFKey(), metadata.ROOT); err != nil {
			t.Fatal(err)
		}
		sig, err := root.Sign(s)
		if err != nil {
			t.Fatal(err)
		}
		if sig.KeyID != s.ID() {
			t.Errorf("signature by %s, want %s", sig.KeyID, s.ID())
		}
		if err := root.VerifyDelegate(metadata.ROOT, root); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// liar is a token that answers with a signature of something else.
type liar struct{ crypto.Signer }

func (l liar) Sign(r io.Reader, _ []byte, o crypto.SignerOpts) ([]byte, error) {
	return l.Signer.Sign(r, make([]byte, 32), o)
}

func TestSignerDoesNotPassOnABadSignature(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.Ed25519, keyfile.ECDSAP256} {
		s, err := keyfile.NewSigner(liar{generate(t, alg)})
		if err != nil {
			t.Fatal(err)
		}
		if sig, err := s.SignMessage(strings.NewReader("release")); err == nil || sig != nil {
			t.Errorf("%s: got %d bytes of signature and error %v, want an error", alg, len(sig), err)
		}
	}
}

// turncoat is a token that shows one key, and another once it has signed with that.
type turncoat struct{ shown, used crypto.Signer }

func (c *turncoat) Public() crypto.PublicKey { return c.shown.Public() }

func (c *turncoat) Sign(r io.Reader, b []byte, o crypto.SignerOpts) ([]byte, error) {
	c.shown = c.used
	return c.used.Sign(r, b, o)
}

func TestSignerVerifiesWithTheKeyItWasMadeWith(t *testing.T) {
	s, err := keyfile.NewSigner(&turncoat{generate(t, keyfile.ECDSAP256), generate(t, keyfile.ECDSAP256)})
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := s.SignMessage(strings.NewReader("release")); !errors.Is(err, keyfile.ErrSignature) || sig != nil {
		t.Errorf("got %d bytes of signature and error %v, want ErrSignature", len(sig), err)
	}
}

func TestKeysThatDevicesCannotVerify(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, key := range map[string]crypto.Signer{"P-384": p384, "RSA": rsaKey} {
		if _, err := keyfile.NewSigner(key); err == nil {
			t.Errorf("%s: NewSigner took it", name)
		}
		if _, err := keyfile.TUFKey(key.Public()); err == nil {
			t.Errorf("%s: TUFKey took it", name)
		}
		if err := keyfile.Save(filepath.Join(t.TempDir(), "k"), key, nil); err == nil {
			t.Errorf("%s: Save took it", name)
		}
	}
}

func TestCheckTUFKey(t *testing.T) {
	s, err := keyfile.NewSigner(generate(t, keyfile.ECDSAP256))
	if err != nil {
		t.Fatal(err)
	}
	if err := keyfile.CheckTUFKey(s.ID(), s.TUFKey()); err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	foreign, _ := metadata.KeyFromPublicKey(p384.Public())
	compat := *s.TUFKey()
	compat.Type = metadata.KeyTypeECDSA_SHA2_P256_COMPAT
	scheme := *s.TUFKey()
	scheme.Scheme = metadata.KeySchemeECDSA_SHA2_P384
	short := &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: hex.EncodeToString(make(ed25519.PublicKey, 31))}}
	upper := &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: strings.Repeat("AB", 32)}}
	for name, tc := range map[string]struct {
		id  string
		key *metadata.Key
	}{
		"null": {s.ID(), nil}, "wrong id": {strings.Repeat("0", 64), s.TUFKey()}, "P-384": {s.ID(), foreign},
		"second name of the same key": {s.ID(), &compat}, "wrong scheme": {s.ID(), &scheme},
		"short ed25519": {s.ID(), short}, "upper case": {s.ID(), upper}, "no type": {s.ID(), &metadata.Key{}},
	} {
		if err := keyfile.CheckTUFKey(tc.id, tc.key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := keyfile.Load(path, phrase("x")); err == nil && key == nil {
			t.Error("no key and no error")
		}
		if pub, err := keyfile.LoadPublic(path); err == nil {
			if _, err := keyfile.TUFKey(pub); err != nil {
				t.Errorf("a public key was loaded that metadata cannot carry: %v", err)
			}
		}
	})
}
