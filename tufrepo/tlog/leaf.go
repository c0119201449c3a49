package tlog

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

// MaxLeaf is the most bytes that an entry has.
const MaxLeaf = 16 << 10

// leafType names this form of entry.
const leafType = "fairlead/release/v1"

// Leaf is the entry of one release. Its members stand in the order of their
// names, which makes what Encode prints canonical JSON.
type Leaf struct {
	Counter  int64           `json:"counter"`
	Hardware []string        `json:"hardware"`
	Length   int64           `json:"length"` // of the manifest, in bytes
	Path     string          `json:"path"`   // of the target
	Product  string          `json:"product"`
	SHA256   firmware.Digest `json:"sha256"` // of the manifest
	Type     string          `json:"type"`
	Version  string          `json:"version"`
}

// custom is what a product's role says of a target beside length and hash.
type custom struct {
	Counter  int64    `json:"counter"`
	Hardware []string `json:"hardware"`
	Product  string   `json:"product"`
	Version  string   `json:"version"`
}

// NewLeaf makes the entry from a verified target: its path, the manifest that
// it pins, and its custom object. Targets that are no releases are an error.
func NewLeaf(path string, manifest firmware.Blob, customObject []byte) (Leaf, error) {
	var c custom
	if err := strictjson.Decode(customObject, strictjson.Options{MaxBytes: MaxLeaf}, &c); err != nil {
		return Leaf{}, fmt.Errorf("what the role says of %.80q: %w", path, err)
	}
	l := Leaf{
		Counter: c.Counter, Hardware: c.Hardware, Length: manifest.Length, Path: path, Product: c.Product,
		SHA256: manifest.SHA256, Type: leafType, Version: c.Version,
	}
	return l, l.check()
}

// LeafOfManifest makes the entry from the bytes of a release manifest.
func LeafOfManifest(raw []byte) (Leaf, error) {
	m, err := firmware.ParseManifest(raw)
	if err != nil {
		return Leaf{}, err
	}
	l := Leaf{
		Counter: m.Counter, Hardware: m.Hardware, Length: int64(len(raw)), Path: firmware.TargetPath(m.Product, m.Version),
		Product: m.Product, SHA256: firmware.Sum(raw), Type: leafType, Version: m.Version,
	}
	return l, l.check()
}

// check lets only names pass that JSON prints as they are, so that there is one
// way to write an entry.
func (l Leaf) check() error {
	product, version, err := firmware.ParseTargetPath(l.Path)
	if err != nil {
		return err
	}
	switch {
	case l.Type != leafType:
		return fmt.Errorf("entry of type %.40q is not known here", l.Type)
	case l.Product != product || l.Version != version:
		return fmt.Errorf("entry of %.80q is about %.80q %.80q", l.Path, l.Product, l.Version)
	case l.Counter < 1 || l.Counter > firmware.MaxCounter:
		return fmt.Errorf("entry of %s: counter %d is not within 1 and %d", l.Path, l.Counter, int64(firmware.MaxCounter))
	case l.Length < 1 || l.Length > firmware.MaxManifest:
		return fmt.Errorf("entry of %s: length %d is not that of a manifest", l.Path, l.Length)
	case len(l.Hardware) == 0:
		return fmt.Errorf("entry of %s: it is for no hardware", l.Path)
	}
	for _, h := range l.Hardware {
		if err := firmware.CheckHardware(h); err != nil {
			return fmt.Errorf("entry of %s: %w", l.Path, err)
		}
	}
	return nil
}

// Encode prints the entry as it stands in the log: canonical JSON, without a
// newline.
func (l Leaf) Encode() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(l)
	if err == nil && len(b) > MaxLeaf {
		err = fmt.Errorf("entry of %s: %d bytes are more than %d", l.Path, len(b), MaxLeaf)
	}
	return b, err
}

// ParseLeaf reads what Encode prints, and nothing else.
func ParseLeaf(b []byte) (Leaf, error) {
	var l Leaf
	if err := strictjson.Decode(b, strictjson.Options{MaxBytes: MaxLeaf, Known: true}, &l); err != nil {
		return l, fmt.Errorf("reading an entry: %w", err)
	}
	again, err := l.Encode()
	if err != nil {
		return l, err
	}
	if !bytes.Equal(again, b) {
		return l, fmt.Errorf("entry of %s is not in its one form", l.Path)
	}
	return l, nil
}

// Hash is the hash of an entry's bytes as a leaf of the Merkle tree (RFC 6962,
// section 2.1).
func Hash(entry []byte) firmware.Digest {
	return firmware.Digest(rfc6962.DefaultHasher.HashLeaf(entry))
}
