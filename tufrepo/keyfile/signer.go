package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Signer signs metadata with one key. It is sigstore's signature.Signer, which
// go-tuf's Metadata.Sign takes. The zero value is not usable.
type Signer struct {
	key MessageSigner
	pub crypto.PublicKey
	tuf *metadata.Key
	id  string
}

// MessageSigner is a key that lies elsewhere: a token, an agent, a service. It
// is given whole messages, because some of those hash for themselves.
type MessageSigner interface {
	// SignMessage returns 64 bytes for Ed25519, and for P-256 the ASN.1 form of
	// a signature of the message's SHA-256. Nobody has to trust it: the caller
	// verifies.
	SignMessage(message []byte) ([]byte, error)
}

// NewSigner wraps any crypto.Signer whose public key devices can verify, a key
// in hardware included.
func NewSigner(key crypto.Signer) (Signer, error) {
	pub := key.Public()
	return NewMessageSigner(pub, inProcess{key, pub})
}

// NewMessageSigner signs with a key that lies elsewhere. pub is the key that
// every signature must verify with, whatever the other side says later.
func NewMessageSigner(pub crypto.PublicKey, key MessageSigner) (Signer, error) {
	tuf, err := TUFKey(pub)
	if err != nil {
		return Signer{}, err
	}
	id, err := tuf.ID()
	if err != nil {
		return Signer{}, fmt.Errorf("naming a key: %w", err)
	}
	return Signer{key: key, pub: pub, tuf: tuf, id: id}, nil
}

// TUFKey is the public key as it stands in metadata. Callers do not change it.
func (s Signer) TUFKey() *metadata.Key { return s.tuf }

// ID is the key id: 64 lower-case hex digits.
func (s Signer) ID() string { return s.id }

// PublicKey implements signature.Signer.
func (s Signer) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return s.pub, nil
}

// SignMessage implements signature.Signer. It verifies the signature before it
// returns it: a token that was pulled out, or lies, must not reach a bundle.
func (s Signer) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	msg, err := io.ReadAll(message)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be signed: %w", err)
	}
	sig, err := s.key.SignMessage(msg)
	if err != nil {
		return nil, fmt.Errorf("signing with key %.12s: %w", s.id, err)
	}
	if err := verify(s.pub, msg, sig); err != nil {
		return nil, fmt.Errorf("signing with key %.12s: the key made a signature that does not verify: %w: %w", s.id, ErrSignature, err)
	}
	return sig, nil
}

// inProcess is a key that this process can use by itself.
type inProcess struct {
	key crypto.Signer
	pub crypto.PublicKey
}

func (k inProcess) SignMessage(msg []byte) ([]byte, error) {
	if _, ok := k.pub.(ed25519.PublicKey); ok {
		return k.key.Sign(rand.Reader, msg, crypto.Hash(0))
	}
	digest := sha256.Sum256(msg)
	return k.key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

func verify(pub crypto.PublicKey, msg, sig []byte) error {
	v, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		return err
	}
	return v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(msg))
}

// Verify checks one signature over msg by a key of metadata that CheckTUFKey
// accepts.
func Verify(id string, key *metadata.Key, msg, sig []byte) error {
	if err := CheckTUFKey(id, key); err != nil {
		return err
	}
	pub, err := publicKey(key)
	if err != nil {
		return err
	}
	return verify(pub, msg, sig)
}

// TUFKey is pub in the form that metadata carries. Only Ed25519 and P-256 keys
// have one.
func TUFKey(pub crypto.PublicKey) (*metadata.Key, error) {
	if _, err := AlgorithmOf(pub); err != nil {
		return nil, err
	}
	key, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key for metadata: %w", err)
	}
	return key, nil
}

// CheckTUFKey refuses a key of metadata unless it is exactly what TUFKey makes
// and id is its id. So one public key has one id, and cannot be counted twice
// towards a threshold under two names.
func CheckTUFKey(id string, key *metadata.Key) error {
	if key == nil {
		return fmt.Errorf("key %.12s is null", id)
	}
	pub, err := publicKey(key)
	if err != nil {
		return fmt.Errorf("key %.12s: %w", id, err)
	}
	want, err := TUFKey(pub)
	if err != nil {
		return fmt.Errorf("key %.12s: %w", id, err)
	}
	same := want.Type == key.Type && want.Scheme == key.Scheme && want.Value.PublicKey == key.Value.PublicKey &&
		len(key.UnrecognizedFields) == 0 && len(key.Value.UnrecognizedFields) == 0
	if !same {
		return fmt.Errorf("key %.12s is not in the form that this toolchain writes (keytype %q, scheme %q)", id, key.Type, key.Scheme)
	}
	wantID, err := want.ID()
	if err != nil {
		return err
	}
	if id != wantID {
		return fmt.Errorf("key %.12s is entered under a wrong id: it is %.12s", id, wantID)
	}
	return nil
}

// publicKey looks at the length before go-tuf does: its Ed25519 branch takes a
// key of any length, and verifying with such a key panics.
func publicKey(key *metadata.Key) (crypto.PublicKey, error) {
	if key.Type == metadata.KeyTypeEd25519 && len(key.Value.PublicKey) != 2*ed25519.PublicKeySize {
		return nil, errors.New("ed25519 key of a wrong length")
	}
	return key.ToPublicKey()
}
