// Package logkey makes and keeps the keys of logs and witnesses, in the forms of
// C2SP signed-note: one line of text, PRIVATE+KEY+NAME+HASH+BASE64, in a file
// of mode 0600, and NAME+HASH+BASE64 for its public half. Ed25519 only.
package logkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// maxFile is more than a key file has.
const maxFile = 4 << 10

// New makes a private key. C2SP wants the name of a log or witness to be an
// address without a scheme, such as fw.example.com/releases.
func New(name string) (string, error) {
	if name == "" || len(name) > 200 || strings.ContainsAny(name, " \t\r\n+") || strings.Contains(name, "://") {
		return "", fmt.Errorf("name %.200q: want an address without a scheme, such as fw.example.com/releases", name)
	}
	skey, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("making the key of %s: %w", name, err)
	}
	return skey, nil
}

// Public is the public half of a log's key: its vkey, signature type 0x01.
func Public(skey string) (string, error) {
	signer, err := note.NewSigner(skey)
	parts := strings.SplitN(skey, "+", 5) // base64 has a plus of its own
	raw, bad := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || bad != nil || len(raw) != 1+ed25519.SeedSize || strings.ContainsAny(skey, "\r\n") {
		return "", errors.New("the key is not an Ed25519 key in the form PRIVATE+KEY+NAME+HASH+BASE64")
	}
	return note.NewEd25519VerifierKey(signer.Name(), ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey))
}

// Witness is the public half of a witness's key: its vkey, signature type 0x04.
func Witness(skey string) (string, error) {
	vkey, err := Public(skey)
	if err != nil {
		return "", err
	}
	return f_note.VKeyToCosignatureV1(vkey)
}

// Write keeps a key in a new file on disk. One that is there is fs.ErrExist.
func Write(disk durable.Disk, path, skey string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	return disk.WriteFile(path, []byte(skey+"\n"), 0o600)
}

// Read reads what Write has kept. Errors: fs.ErrNotExist,
// keyfile.ErrPermissions.
func Read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a log's or witness's key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("key file %s has mode %04o: %w; run: chmod 600 %s", path, st.Mode().Perm(), keyfile.ErrPermissions, path)
	}
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	skey := strings.TrimSuffix(string(raw), "\n")
	if _, err := Public(skey); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return skey, nil
}
