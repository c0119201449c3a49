package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// MaxFile is the size in bytes above which a file is not a key file.
const MaxFile = 64 << 10

// Errors that a caller branches on.
var (
	// ErrPassphrase: the key is encrypted and the passphrase is wrong or
	// missing. A damaged file looks the same: the cipher cannot tell them apart.
	ErrPassphrase = errors.New("wrong or missing passphrase")
	// ErrPermissions: others than the owner can read the private key.
	ErrPermissions = errors.New("private key can be read by others")
	// ErrSignature: a key made something that is not its signature.
	ErrSignature = errors.New("not used; the token, or what leads to it, is damaged or lies")
)

// Algorithm names a kind of key.
type Algorithm string

// The algorithms that every part of the toolchain, and go-tuf, agree on.
const (
	Ed25519   Algorithm = "ed25519"
	ECDSAP256 Algorithm = "ecdsa-p256"
)

// Generate makes a new private key.
func Generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making an ed25519 key: %w", err)
		}
		return key, nil
	case ECDSAP256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making an ecdsa-p256 key: %w", err)
		}
		return key, nil
	}
	return nil, alg.Check()
}

// Check refuses an algorithm that is not one of the supported.
func (a Algorithm) Check() error {
	if a != Ed25519 && a != ECDSAP256 {
		return fmt.Errorf("key type %q is unknown: use %s or %s", a, Ed25519, ECDSAP256)
	}
	return nil
}

// AlgorithmOf tells which of the supported kinds pub is, and refuses others.
func AlgorithmOf(pub crypto.PublicKey) (Algorithm, error) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return Ed25519, nil
		}
		return "", fmt.Errorf("ed25519 public key of %d bytes instead of %d", len(k), ed25519.PublicKeySize)
	case *ecdsa.PublicKey:
		if k != nil && k.Curve == elliptic.P256() {
			return ECDSAP256, nil
		}
		return "", errors.New("ecdsa key on another curve than P-256: devices cannot verify it; use ecdsa-p256 or ed25519")
	}
	return "", fmt.Errorf("key of type %T: devices cannot verify it; use ed25519 or ecdsa-p256", pub)
}

// Save writes the private key to path with mode 0600, encrypted if the
// passphrase is not empty. It never overwrites: an existing path is an error
// that wraps fs.ErrExist.
func Save(path string, key crypto.Signer, passphrase []byte) error {
	if _, err := AlgorithmOf(key.Public()); err != nil {
		return fmt.Errorf("saving key %s: %w", path, err)
	}
	block, err := encodePrivate(key, passphrase)
	if err != nil {
		return fmt.Errorf("saving key %s: %w", path, err)
	}
	return create(path, block, 0o600)
}

func encodePrivate(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return cryptoutils.MarshalPrivateKeyToPEM(key)
	}
	der, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(key, cryptoutils.StaticPasswordFunc(passphrase))
	if err != nil {
		return nil, err
	}
	return cryptoutils.PEMEncode(cryptoutils.EncryptedSigstorePrivateKeyPEMType, der), nil
}

// SavePublic writes pub to path as PKIX PEM, mode 0644. It never overwrites.
func SavePublic(path string, pub crypto.PublicKey) error {
	if _, err := AlgorithmOf(pub); err != nil {
		return fmt.Errorf("saving public key %s: %w", path, err)
	}
	block, err := cryptoutils.MarshalPublicKeyToPEM(pub)
	if err != nil {
		return fmt.Errorf("saving public key %s: %w", path, err)
	}
	return create(path, block, 0o644)
}

// create makes the file itself, not a temporary beside it: the sticks that
// carry keys are often FAT, which has no link that would refuse to overwrite.
// A crash may leave a torn file, which no Load accepts and no Save replaces.
func create(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key file %s exists and is not overwritten: choose another name: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("creating key file: %w", err)
	}
	if err := writeSync(f, data); err != nil {
		return errors.Join(fmt.Errorf("writing key file %s: %w", path, err), os.Remove(path))
	}
	return durable.SyncDir(filepath.Dir(path))
}

func writeSync(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Load reads a private key. pass is asked only if the key is encrypted; it may
// be nil. Errors: ErrPassphrase, ErrPermissions, fs.ErrNotExist.
func Load(path string, pass func() ([]byte, error)) (crypto.Signer, error) {
	data, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	block, err := onlyBlock(path, data)
	if err != nil {
		return nil, err
	}
	key, err := decodePrivate(path, block, data, pass)
	if err != nil {
		return nil, err
	}
	if _, err := AlgorithmOf(key.Public()); err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func decodePrivate(path string, block *pem.Block, data []byte, pass func() ([]byte, error)) (crypto.Signer, error) {
	var pf cryptoutils.PassFunc
	switch cryptoutils.PEMType(block.Type) {
	case cryptoutils.PrivateKeyPEMType:
	case cryptoutils.EncryptedSigstorePrivateKeyPEMType:
		phrase, err := passphrase(path, pass)
		if err != nil {
			return nil, err
		}
		pf = cryptoutils.StaticPasswordFunc(phrase)
	default:
		return nil, fmt.Errorf("key file %s holds %q, not a private key of this toolchain", path, block.Type)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(data, pf)
	if err != nil && pf != nil {
		return nil, fmt.Errorf("key file %s: %w (%w)", path, ErrPassphrase, err)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key file %s holds a %T, which cannot sign", path, key)
	}
	return signer, nil
}

func passphrase(path string, pass func() ([]byte, error)) ([]byte, error) {
	if pass == nil {
		return nil, fmt.Errorf("key file %s is encrypted: %w", path, ErrPassphrase)
	}
	phrase, err := pass()
	if err != nil {
		return nil, fmt.Errorf("passphrase of key file %s: %w", path, err)
	}
	if len(phrase) == 0 {
		return nil, fmt.Errorf("key file %s is encrypted and the passphrase is empty: %w", path, ErrPassphrase)
	}
	return phrase, nil
}

// LoadPublic reads the public key of a PEM file.
func LoadPublic(path string) (crypto.PublicKey, error) {
	data, err := readFile(path, false)
	if err != nil {
		return nil, err
	}
	block, err := onlyBlock(path, data)
	if err != nil {
		return nil, err
	}
	if block.Type != string(cryptoutils.PublicKeyPEMType) {
		return nil, fmt.Errorf("key file %s holds %q, not a public key: give the .pub file", path, block.Type)
	}
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", path, err)
	}
	if _, err := AlgorithmOf(pub); err != nil {
		return nil, fmt.Errorf("public key %s: %w", path, err)
	}
	return pub, nil
}

// readFile opens before it looks, so that the file judged is the file read.
func readFile(path string, private bool) ([]byte, error) {
	f, err := openKey(path)
	if err != nil {
		return nil, fmt.Errorf("opening key file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s is not a regular file", path)
	}
	if private && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s has mode %04o: %w; run: chmod 600 %s", path, st.Mode().Perm(), ErrPermissions, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading key file %s: %w", path, err)
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("key file %s is larger than %d bytes: it is not a key", path, MaxFile)
	}
	return data, nil
}

// onlyBlock refuses a second block: a reader that took the first and a reader
// that took the last would use different keys.
func onlyBlock(path string, data []byte) (*pem.Block, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("key file %s is not PEM", path)
	}
	if second, _ := pem.Decode(rest); second != nil {
		return nil, fmt.Errorf("key file %s holds more than one PEM block", path)
	}
	return block, nil
}
