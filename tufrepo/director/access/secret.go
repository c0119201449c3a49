package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/google/uuid"
)

const (
	tokenPrefix  = "flt_"
	devicePrefix = "fld_"

	idBytes      = 6 // 10 characters
	secretBytes  = 32
	secretLength = 52
	sumLength    = 7
	// maxText is more than the longest token has, in bytes.
	maxText = 128

	symbols = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's
)

func base() *base32.Encoding { return base32.NewEncoding(symbols).WithPadding(base32.NoPadding) }

// Hash is what is kept of a secret.
type Hash [sha256.Size]byte

// LoadHash is the hash that b holds, or the zero hash if it holds none.
func LoadHash(b []byte) (h Hash) {
	if len(b) == len(h) {
		copy(h[:], b)
	}
	return h
}

// Matches compares in constant time. The zero hash, which stands for a token that is not
// known, matches nothing: so both cases take the same way.
func (h Hash) Matches(o Hash) bool {
	return subtle.ConstantTimeCompare(h[:], o[:])&^subtle.ConstantTimeCompare(h[:], make([]byte, len(h))) == 1
}

// String is for databases and tests: a hash is no secret.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// secret is a text with an id in clear. It prints without the secret.
type secret struct{ prefix, id, text string }

// Token is an operator's token. Printing it shows its id only; the zero value is not usable.
type Token struct{ secret }

// DeviceKey is a device's access key; its id is the device's UUID. It prints as a Token does.
type DeviceKey struct{ secret }

// ID is the public part.
func (s secret) ID() string { return s.id }

// Reveal is the whole text: for its owner, once.
func (s secret) Reveal() string { return s.text }

func (s secret) String() string { return s.prefix + s.id + "_…" }

// Format is for every verb: %d and %#v would otherwise look inside.
func (s secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// Hash is what is to be kept, or to be compared with what was kept.
func (s secret) Hash() Hash { return sha256.Sum256([]byte(s.text)) }

// NewToken makes a token out of random, which is crypto/rand.Reader but in tests.
func NewToken(random io.Reader) (Token, Hash, error) {
	var id [idBytes]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return Token{}, Hash{}, fmt.Errorf("making a token: %w", err)
	}
	s, err := newSecret(tokenPrefix, base().EncodeToString(id[:]), random)
	if err != nil {
		return Token{}, Hash{}, err
	}
	return Token{s}, s.Hash(), nil
}

// NewDeviceKey makes an access key for a device.
func NewDeviceKey(random io.Reader, device uuid.UUID) (DeviceKey, Hash, error) {
	s, err := newSecret(devicePrefix, device.String(), random)
	if err != nil {
		return DeviceKey{}, Hash{}, err
	}
	return DeviceKey{s}, s.Hash(), nil
}

func newSecret(prefix, id string, random io.Reader) (secret, error) {
	var raw [secretBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return secret{}, fmt.Errorf("making a secret: %w", err)
	}
	text := prefix + id + "_" + base().EncodeToString(raw[:])
	return secret{prefix, id, text + checksum(text)}, nil
}

func checksum(text string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return base().EncodeToString(sum)
}

// ParseToken reads a token as it was made and in no other form. Its errors never repeat
// what was given, and can be told to the caller: they say nothing of which tokens exist.
func ParseToken(text string) (Token, error) {
	s, err := parse(tokenPrefix, text)
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	if !canonical(s.id, idBytes) {
		return Token{}, errors.New("token: its id is not one of ours")
	}
	return Token{s}, nil
}

// ParseDeviceKey reads an access key as ParseToken does a token.
func ParseDeviceKey(text string) (DeviceKey, error) {
	s, err := parse(devicePrefix, text)
	if err != nil {
		return DeviceKey{}, fmt.Errorf("access key: %w", err)
	}
	if id, err := uuid.Parse(s.id); err != nil || id.String() != s.id {
		return DeviceKey{}, errors.New("access key: it names no device")
	}
	return DeviceKey{s}, nil
}

func parse(prefix, text string) (secret, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) > maxText {
		return secret{}, fmt.Errorf("it does not have the form %s…", prefix)
	}
	id, tail, ok := strings.Cut(rest, "_")
	if !ok || len(tail) != secretLength+sumLength {
		return secret{}, errors.New("it is cut off, or something was added to it")
	}
	body := text[:len(text)-sumLength]
	if checksum(body) != text[len(body):] || !canonical(tail[:secretLength], secretBytes) {
		return secret{}, errors.New("it is mistyped: its checksum does not fit")
	}
	return secret{prefix, id, text}, nil
}

// canonical reports whether s is what n bytes are written as.
func canonical(s string, n int) bool {
	raw, err := base().DecodeString(s)
	return err == nil && len(raw) == n && base().EncodeToString(raw) == s
}
