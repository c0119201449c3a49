package director

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware/durable"
)

// Sealer encrypts the secrets that the service keeps on its disk. [SealKey] does it with a
// file; a key management service can stand here as well.
type Sealer interface {
	// Seal encrypts and authenticates a secret of at most MaxSecret bytes. The name, which
	// is not secret, is bound to it, so that no sealed file passes for another.
	Seal(ctx context.Context, name string, secret []byte) ([]byte, error)
	// Open returns what was sealed under the name, and an error that says what to do where
	// it was sealed with another key or has been changed.
	Open(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

const (
	// MaxSecret bounds what is sealed, in bytes.
	MaxSecret = 32 << 10

	sealKeySize = 32
	sealFormat  = 1
	sealBlock   = "FAIRLEAD SEALED KEY"
	sealIDSize  = 8
	sealHead    = 1 + sealIDSize
	maxSealed   = 64 << 10
)

// SealKey is the key of a file. docs/formats.md has the bytes.
type SealKey struct {
	path string
	id   []byte
	aead cipher.AEAD
}

// LoadSealKey reads a key file: 32 random bytes, of mode 0600, or the same encrypted by a key management service, which
// is asked then; see WrapSealKey. The error wraps fs.ErrNotExist where there is none.
func LoadSealKey(path string) (*SealKey, error) {
	raw, err := readSealKey(context.Background(), path)
	if err != nil {
		return nil, err
	}
	return newSealKey(path, raw)
}

// MakeSealKey makes a key file. An existing one is not touched: the error wraps fs.ErrExist.
func MakeSealKey(path string) (*SealKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("key file of the service %s: %w", path, fs.ErrExist)
	}
	raw := make([]byte, sealKeySize)
	rand.Read(raw) // never fails
	if err := durable.WriteFile(path, raw, 0o600); err != nil {
		return nil, fmt.Errorf("making the key file of the service (name another place with --key-file): %w", err)
	}
	return newSealKey(path, raw)
}

func newSealKey(path string, raw []byte) (*SealKey, error) {
	var parts [2][]byte
	for i, use := range []struct {
		label string
		size  int
	}{{"fairlead seal v1 aes-256-gcm", 32}, {"fairlead seal v1 key id", sealIDSize}} {
		var err error
		if parts[i], err = hkdf.Key(sha256.New, raw, nil, use.label, use.size); err != nil {
			return nil, fmt.Errorf("key file of the service %s: %w", path, err)
		}
	}
	block, err := aes.NewCipher(parts[0])
	if err != nil {
		return nil, fmt.Errorf("key file of the service %s: %w", path, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &SealKey{path: path, id: parts[1], aead: aead}, err
}

// ID names the key, and says nothing of it.
func (k *SealKey) ID() string { return hex.EncodeToString(k.id) }

// Seal implements Sealer.
func (k *SealKey) Seal(_ context.Context, name string, secret []byte) ([]byte, error) {
	if len(secret) > MaxSecret {
		return nil, fmt.Errorf("sealing %s: it has %d bytes, more than %d", name, len(secret), MaxSecret)
	}
	head := append([]byte{sealFormat}, k.id...)
	body := k.aead.Seal(bytes.Clone(head), nil, secret, bound(head, name))
	return pem.EncodeToMemory(&pem.Block{Type: sealBlock, Bytes: body}), nil
}

// Open implements Sealer.
func (k *SealKey) Open(_ context.Context, name string, sealed []byte) ([]byte, error) {
	block, rest := pem.Decode(sealed)
	if len(sealed) > maxSealed || block == nil || block.Type != sealBlock || len(rest) != 0 || len(block.Bytes) < sealHead {
		return nil, fmt.Errorf("%s is not a sealed key: restore it from the backup", name)
	}
	head, body := block.Bytes[:sealHead], block.Bytes[sealHead:]
	if head[0] != sealFormat {
		return nil, fmt.Errorf("%s is sealed in format %d, this program knows %d: use a newer fairlead-repo", name, head[0], sealFormat)
	}
	if !bytes.Equal(head[1:], k.id) {
		return nil, fmt.Errorf("%s is sealed with the key file of id %x, but %s is %s: name the key file that it was made with by --key-file, or bring that file back; "+
			"if it is lost, see \"A lost key file\" in docs/operations.md", name, head[1:], k.path, k.ID())
	}
	secret, err := k.aead.Open(nil, nil, body, bound(head, name))
	if err != nil {
		return nil, fmt.Errorf("%s was changed after it was sealed, or is another's under its name: restore it from the backup", name)
	}
	return secret, nil
}

// bound is what is authenticated beside the secret.
func bound(head []byte, name string) []byte {
	return append(append([]byte("fairlead sealed key\x00"), head...), name...)
}

// readSecret reads a small file that nobody else may read. A file that is longer than most
// comes back one byte longer.
func readSecret(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so others can read it: chmod 600 it, and make another if others had access", path, st.Mode().Perm())
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}

// isSealed tells a sealed file from one in the clear, as older folders have them.
func isSealed(data []byte) bool {
	block, _ := pem.Decode(data)
	return block == nil || block.Type != "PRIVATE KEY"
}

// sealAll seals the keys of an older folder, each in one step: after a crash a file is as it
// was or sealed. It also makes sure that all that are sealed can be opened.
func (d *Director) sealAll(ctx context.Context) error {
	if err := durable.SweepTemps(d.Keys); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(d.Keys, "*.key"))
	if err != nil {
		return err
	}
	for _, path := range names {
		if err := d.sealOne(ctx, path); err != nil {
			return fmt.Errorf("online key %s: %w", path, err)
		}
	}
	return nil
}

func (d *Director) sealOne(ctx context.Context, path string) error {
	data, err := readSecret(path, maxSealed)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	if isSealed(data) {
		_, err := d.Seal.Open(ctx, name, data)
		return err
	}
	if _, err := parseKey(data); err != nil {
		return err
	}
	if err := d.writeSealed(ctx, path, data); err != nil {
		return err
	}
	d.Log.Info("online key is encrypted now; the file in the clear may still be in backups", "file", path)
	return nil
}

// writeSealed replaces path by secret, sealed, after it has seen that it opens again.
func (d *Director) writeSealed(ctx context.Context, path string, secret []byte) error {
	name := filepath.Base(path)
	sealed, err := d.Seal.Seal(ctx, name, secret)
	if err != nil {
		return err
	}
	if again, err := d.Seal.Open(ctx, name, sealed); err != nil || !bytes.Equal(again, secret) {
		return errors.Join(errors.New("what was sealed does not open again"), err)
	}
	return durable.WriteFile(path, sealed, 0o600)
}
