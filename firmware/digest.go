package firmware

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest is a SHA-256. Its text form is 64 lower-case hex digits, exactly.
type Digest [sha256.Size]byte

// Sum is the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the text form and no other.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is the text form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is the text form.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads the text form and no other.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("read SHA-256: %d characters, want 64 lower-case hex digits", len(b))
	}
	var got Digest
	if _, err := hex.Decode(got[:], b); err != nil || got.String() != string(b) {
		return fmt.Errorf("read SHA-256 %q: want 64 lower-case hex digits", b)
	}
	*d = got
	return nil
}

// Blob names bytes by their number and their digest.
type Blob struct {
	Length int64  `json:"length"`
	SHA256 Digest `json:"sha256"`
}

// Framed is an artifact: the whole file, and its first Head.Length bytes
// (header and index), which are fetched and verified first.
type Framed struct {
	Blob
	Head Blob `json:"head"`
}

// Patch is an artifact that makes the image from another one.
type Patch struct {
	Framed
	From Blob `json:"from"` // the image that it applies to
}

// Attestation is a statement about the release: SBOM, provenance, log proof.
type Attestation struct {
	Type string `json:"type"` // media type or predicate URI, see CheckAttestationType
	Blob
}

// maxLength bounds every length in a manifest: the largest image with a head
// before it. The bound keeps sums of lengths far from overflow.
const maxLength = MaxImage + MaxHead

func (b Blob) check(what string) error {
	if b.Length < 0 || b.Length > maxLength {
		return fmt.Errorf("%s: length %d is not within 0 and %d", what, b.Length, int64(maxLength))
	}
	if (b.Length == 0) != (b.SHA256 == Sum(nil)) || b.SHA256.IsZero() {
		return fmt.Errorf("%s: SHA-256 %v does not go with length %d", what, b.SHA256, b.Length)
	}
	return nil
}

func (f Framed) check(what string) error {
	if err := f.Blob.check(what); err != nil {
		return err
	}
	if err := f.Head.check(what + " head"); err != nil {
		return err
	}
	if f.Head.Length < HeaderLength || f.Head.Length > MaxHead || f.Head.Length > f.Length {
		return fmt.Errorf("%s: head of %d bytes is not within %d and %d bytes and the file's %d",
			what, f.Head.Length, HeaderLength, MaxHead, f.Length)
	}
	if (f.Head.Length == f.Length) != (f.Head == f.Blob) {
		return fmt.Errorf("%s: head and file differ in only one of length and SHA-256", what)
	}
	return nil
}
