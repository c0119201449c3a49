package keyref_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

const pluginName = "sigstore-kms-pkcs11"

// TestMain lets this binary play the plugin, under the plugin's name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == pluginName {
		playPlugin()
		return
	}
	os.Exit(m.Run())
}

// playPlugin lies as LIE says. KEY is the private key file, OTHER another.
func playPlugin() {
	lie := os.Getenv("LIE")
	if os.Args[1] == "sleeper" {
		time.Sleep(time.Hour)
	}
	var args common.PluginArgs
	must(json.Unmarshal([]byte(os.Args[2]), &args))
	msg, err := io.ReadAll(os.Stdin)
	must(err)
	if args.MethodName == common.PublicKeyMethodName {
		answerPublic(lie)
		return
	}
	note(os.Getenv("NOTES"), "sign pin="+os.Getenv(tokenuri.PINEnv)+"\n")
	switch lie {
	case "nothing":
	case "garbage":
		fmt.Print("<html>it works!</html>")
	case "empty object":
		fmt.Print("{}")
	case "empty signature":
		answer(&common.PluginResp{SignMessage: &common.SignMessageResp{}})
	case "endless":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	case "hangs":
		time.Sleep(time.Hour)
	case "leaves a child":
		child := exec.Command(os.Args[0], "sleeper")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		must(child.Start())
	case "dies":
		fmt.Fprintln(os.Stderr, "Segmentation fault")
		os.Exit(139)
	case "random":
		sig := make([]byte, 64)
		rand.Read(sig)
		answerSignature(sig)
	case "another key":
		answerSignature(sign("OTHER", msg))
	case "another message":
		answerSignature(sign("KEY", append(msg, ' ')))
	case "wrong pin":
		answer(&common.PluginResp{ErrorMessage: tokenuri.WrongPIN + "the token refused the PIN"})
	default:
		answerSignature(sign("KEY", msg))
	}
}

func answerPublic(lie string) {
	var pub crypto.PublicKey
	switch lie {
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		pub = key.Public()
	case "p-384":
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(err)
		pub = key.Public()
	case "no public key":
		answer(&common.PluginResp{})
		return
	case "public nonsense":
		answer(&common.PluginResp{PublicKey: &common.PublicKeyResp{PublicKeyPEM: []byte("key")}})
		return
	default:
		pub = load("KEY").Public()
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(pub)
	must(err)
	answer(&common.PluginResp{PublicKey: &common.PublicKeyResp{PublicKeyPEM: pem}})
}

func load(env string) crypto.Signer {
	key, err := keyfile.Load(os.Getenv(env), nil)
	must(err)
	return key
}

func sign(env string, msg []byte) []byte {
	digest := sha256.Sum256(msg)
	sig, err := load(env).Sign(rand.Reader, digest[:], crypto.SHA256)
	must(err)
	return sig
}

func answerSignature(sig []byte) {
	answer(&common.PluginResp{SignMessage: &common.SignMessageResp{Signature: sig}})
}

func answer(r *common.PluginResp) { must(json.NewEncoder(os.Stdout).Encode(r)) }

func note(path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	_, err = f.WriteString(text)
	must(errors.Join(err, f.Close()))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// plugin puts the lying plugin on PATH. notes is a file of what it was asked.
func plugin(t *testing.T, lie string) (notes string) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, pluginName))
	}
	for _, name := range []string{"KEY", "OTHER"} {
		key, _ := keyfile.Generate(keyfile.ECDSAP256)
		path := filepath.Join(dir, name)
		err = errors.Join(err, keyfile.Save(path, key, nil))
		t.Setenv(name, path)
	}
	if err != nil {
		t.Fatal(err)
	}
	notes = filepath.Join(dir, "notes")
	t.Setenv("NOTES", notes)
	t.Setenv("LIE", lie)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	return notes
}

const ref = "pkcs11:token=t;object=alice"

func TestHonestToken(t *testing.T) {
	notes := plugin(t, "")
	t.Setenv("FAIRLEAD_PASSPHRASE", "of some key file")
	asked := 0
	k, err := keyref.Open(context.Background(), ref, keyref.Options{PIN: func() ([]byte, error) { asked++; return []byte("1234"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := k.SignMessage(strings.NewReader("release")); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(notes); string(got) != "sign pin=1234\nsign pin=1234\n" || asked != 1 {
		t.Errorf("the plugin saw %q, and the PIN was asked for %d times", got, asked)
	}
	if k.Name != "alice" {
		t.Errorf("the key is called %q", k.Name)
	}
}

func TestLyingTokens(t *testing.T) {
	for lie, want := range map[string]string{
		"nothing":         "did not answer in its protocol: unexpected end of JSON input; it said nothing",
		"garbage":         `it said: "<html>it works!`,
		"empty object":    "answered without a signature",
		"empty signature": "answered without a signature",
		"endless":         "more than 1048576 bytes",
		"hangs":           "did not answer within 1s: does it wait for a touch",
		"leaves a child":  "did not answer",
		"dies":            `exit status 139`,
		"random":          "does not verify",
		"another key":     "does not verify",
		"another message": "does not verify",
		"wrong pin":       "wrong or missing PIN: the token refused the PIN; it is not tried again",
	} {
		t.Run(lie, func(t *testing.T) {
			notes := plugin(t, lie)
			limit := 20 * time.Second
			if lie == "hangs" || lie == "leaves a child" {
				limit = time.Second
			}
			k, err := keyref.Open(context.Background(), ref, keyref.Options{
				Limit: limit, PIN: func() ([]byte, error) { return []byte("1"), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			sig, err := k.SignMessage(strings.NewReader("release"))
			if err == nil || sig != nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%d bytes, %v; want it to say %q", len(sig), err, want)
			}
			if errors.Is(err, keyfile.ErrSignature) != strings.Contains(want, "verify") || errors.Is(err, keyref.ErrPIN) != (lie == "wrong pin") {
				t.Errorf("the wrong class: %v", err)
			}
			_, err = k.SignMessage(strings.NewReader("release"))
			if got, _ := os.ReadFile(notes); lie == "wrong pin" && (strings.Count(string(got), "\n") != 1 || !errors.Is(err, keyref.ErrPIN)) {
				t.Errorf("a wrong PIN was tried again: %q, %v", got, err)
			}
		})
	}
}

func TestTokensWithoutAUsableKey(t *testing.T) {
	for lie, want := range map[string]string{
		"rsa":             "devices cannot verify it; use ed25519 or ecdsa-p256",
		"p-384":           "another curve than P-256",
		"no public key":   "answered without a public key",
		"public nonsense": "public key: ",
	} {
		plugin(t, lie)
		if k, err := keyref.Open(context.Background(), ref, keyref.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want it to say %q", lie, k, err, want)
		}
	}
}

func TestInterruptKillsThePlugin(t *testing.T) {
	plugin(t, "hangs")
	ctx, cancel := context.WithCancel(context.Background())
	k, err := keyref.Open(ctx, ref, keyref.Options{PIN: func() ([]byte, error) { cancel(); return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.SignMessage(strings.NewReader("release")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestReferences(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	for given, want := range map[string]string{
		ref:                      "need the program sigstore-kms-pkcs11",
		"pkcs11:tokn=t":          `attribute "tokn" is not known`,
		"pkcs11:?pin-value=1234": "a PIN never stands in a reference",
		"ssh-agent:":             "write ssh-agent:SHA256:",
		"ssh-agent:alice":        "SSH_AUTH_SOCK is not set",
		"calc://x":               `pkcs11:, ssh-agent:; write ./calc://x if it is a file`,
		"pksc11:token=t":         "write ./pksc11:token=t if it is a file",
		"PKCS11:token=t":         `"PKCS11" is none of`,
	} {
		_, err := keyref.Open(context.Background(), given, keyref.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want it to say %q", given, err, want)
		}
	}
	if _, err := keyref.Create(context.Background(), "ssh-agent:x", keyfile.Ed25519, keyref.Options{}); !errors.Is(err, keyref.ErrReference) {
		t.Errorf("Create in an agent: %v", err)
	}
}

func TestFileWithAColon(t *testing.T) {
	dir := t.TempDir()
	key, _ := keyfile.Generate(keyfile.Ed25519)
	if err := keyfile.Save(filepath.Join(dir, "calc:x.key"), key, nil); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	k, err := keyref.Open(context.Background(), "./calc:x.key", keyref.Options{})
	if err != nil || k.Name != "calc:x" {
		t.Errorf("%v, %v", k, err)
	}
}
