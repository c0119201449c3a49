package bundle

import (
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/listing"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Doc is one metadata file: its bytes, and what they say. Nobody changes either.
type Doc[T metadata.Roles] struct {
	Name    string // its name in a repository
	Version int64
	Bytes   []byte
	Meta    *metadata.Metadata[T]

	signed []byte // of Bytes, in canonical JSON; nil where it has to be printed
}

// Read is Parse of a file, whose name and content must agree on the version if the name says one.
func Read[T metadata.Roles](name string, b []byte) (*Doc[T], error) {
	m, signed, err := parse[T](b)
	if err != nil {
		return nil, err
	}
	d := &Doc[T]{Name: name, Version: commonOf(m).version, Bytes: b, Meta: m, signed: signed}
	if v, _, ok := ParseMetadataName(name); ok && v != d.Version {
		return nil, fmt.Errorf("it holds version %d: name and content disagree", d.Version)
	}
	return d, nil
}

func newDoc[T metadata.Roles](name string, b []byte) (*Doc[T], error) {
	d, err := Read[T](name, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// MetaFile is the entry for this file in the metadata above it: version,
// length and SHA-256, always all three.
func (d *Doc[T]) MetaFile() *metadata.MetaFiles {
	return MetaFile(d.Version, d.Bytes)
}

// MetaFile is the entry for a file of metadata in the metadata above it.
func MetaFile(version int64, raw []byte) *metadata.MetaFiles {
	f := metadata.MetaFile(version)
	sum := firmware.Sum(raw)
	f.Length, f.Hashes = int64(len(raw)), metadata.Hashes{"sha256": sum[:]}
	return f
}

// payload is what is signed of d, in canonical JSON.
func (d *Doc[T]) payload() ([]byte, error) {
	if d.signed != nil {
		return d.signed, nil
	}
	return canonical(d.Meta)
}

// SignedDigest is the SHA-256 of what is signed of d: the same whoever has signed it.
func (d *Doc[T]) SignedDigest() (firmware.Digest, error) {
	payload, err := d.payload()
	return firmware.Sum(payload), err
}

// Count is the function of the same name.
func (d *Doc[T]) Count(role string, e Entitled) (Signatures, error) {
	payload, err := d.payload()
	if err != nil {
		return Signatures{}, err
	}
	return count(role, e, d.Meta.Signatures, payload), nil
}

// Sign is SignMetadata for a file, of which it returns the new bytes.
func (d *Doc[T]) Sign(s keyfile.Signer) ([]byte, error) {
	payload, err := d.payload()
	if err != nil {
		return nil, err
	}
	m := *d.Meta
	if m.Signatures, err = signPayload(slices.Clone(m.Signatures), payload, s); err != nil {
		return nil, err
	}
	if d.signed != nil {
		if b := listing.Join(m.Signatures, d.signed); b != nil {
			return b, nil
		}
	}
	return Encode(&m)
}

func (d *Doc[T]) file() File {
	return File{
		Name: d.Name, From: d.Name, Data: d.Bytes,
		Blob: firmware.Blob{Length: int64(len(d.Bytes)), SHA256: firmware.Sum(d.Bytes)},
	}
}
