package firmware

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

const (
	// ManifestSchema is the only schema of a manifest so far.
	ManifestSchema = 1
	// MaxManifest is the longest manifest in bytes.
	MaxManifest = 64 << 10
	// MaxCounter is the highest release counter, 2^53-1: the largest integer
	// that every JSON reader keeps exactly.
	MaxCounter = 1<<53 - 1

	maxHardware     = 64
	maxPatches      = 64
	maxAttestations = 32
	maxNotes        = 16 << 10
)

// Manifest says what a release is and pins every byte of it. It is the only
// TUF target of the release.
type Manifest struct {
	Schema       int           `json:"schema"`                 // ManifestSchema
	Product      string        `json:"product"`                // see CheckProduct
	Hardware     []string      `json:"hardware"`               // 1 to 64 compatible strings, see Fits
	Version      string        `json:"version"`                // a name, see CheckVersion
	Counter      int64         `json:"counter"`                // 1 to MaxCounter; the order of releases
	Image        Blob          `json:"image"`                  // the bytes that fill a slot
	Artifact     Framed        `json:"artifact"`               // the file that carries the image
	Patches      []Patch       `json:"patches,omitempty"`      // from other images to this one
	Chunks       *Framed       `json:"chunks,omitempty"`       // for devices without a patch, see package chunk
	Attestations []Attestation `json:"attestations,omitempty"` // statements about the release
	MinAgent     string        `json:"min_agent,omitempty"`    // see AgentAtLeast
	Notes        string        `json:"notes,omitempty"`        // for people; text of at most 16 KiB
}

// ParseManifest reads what Encode wrote. Bytes that Encode would not have
// written, of which the same value could be read, are refused: there is one
// manifest for one meaning.
func ParseManifest(b []byte) (*Manifest, error) {
	m := new(Manifest)
	o := strictjson.Options{MaxBytes: MaxManifest, Known: true}
	if err := strictjson.Decode(b, o, m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	canonical, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if !bytes.Equal(canonical, b) {
		return nil, fmt.Errorf("read manifest: its bytes are not in the canonical form, from offset %d on; do not edit manifests by hand",
			firstDifference(canonical, b))
	}
	return m, nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Encode checks the manifest and prints it in the canonical form: members in
// the order of the struct, two spaces of indent, no HTML escapes, a final
// newline, at most MaxManifest bytes.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if buf.Len() > MaxManifest {
		return nil, fmt.Errorf("manifest: %d bytes, at most %d are allowed; shorten the notes or drop patches", buf.Len(), MaxManifest)
	}
	return buf.Bytes(), nil
}

// Fits reports whether the release is for a device that answers to hardware.
func (m *Manifest) Fits(hardware string) bool {
	return slices.Contains(m.Hardware, hardware)
}

// Blobs lists every blob that a repository must hold for this release, each
// once, in the order of the manifest. The image is not one of them: it is
// carried by the artifact.
func (m *Manifest) Blobs() []Blob {
	blobs := []Blob{m.Artifact.Blob}
	for _, p := range m.Patches {
		blobs = append(blobs, p.Blob)
	}
	if m.Chunks != nil {
		blobs = append(blobs, m.Chunks.Blob)
	}
	for _, a := range m.Attestations {
		blobs = append(blobs, a.Blob)
	}
	seen := map[Digest]bool{}
	return slices.DeleteFunc(blobs, func(b Blob) bool {
		again := seen[b.SHA256]
		seen[b.SHA256] = true
		return again
	})
}
