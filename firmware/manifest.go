package firmware

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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

func (m *Manifest) check() error {
	if m.Schema != ManifestSchema {
		return fmt.Errorf("schema %d is unknown, want %d; a newer Fairlead may know it", m.Schema, ManifestSchema)
	}
	if err := CheckProduct(m.Product); err != nil {
		return err
	}
	if err := CheckVersion(m.Version); err != nil {
		return err
	}
	if m.Counter < 1 || m.Counter > MaxCounter {
		return fmt.Errorf("counter %d is not within 1 and %d", m.Counter, int64(MaxCounter))
	}
	if m.MinAgent != "" {
		if err := checkSemver(m.MinAgent); err != nil {
			return fmt.Errorf("least agent version: %w", err)
		}
	}
	return firstError(m.checkHardware, m.checkImage, m.checkPatches, m.checkAttestations, m.checkLengths, m.checkNotes)
}

func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifest) checkHardware() error {
	if len(m.Hardware) < 1 || len(m.Hardware) > maxHardware {
		return fmt.Errorf("%d hardware strings, want 1 to %d", len(m.Hardware), maxHardware)
	}
	for i, h := range m.Hardware {
		if err := CheckHardware(h); err != nil {
			return err
		}
		if slices.Contains(m.Hardware[:i], h) {
			return fmt.Errorf("hardware %q is listed twice", h)
		}
	}
	return nil
}

func (m *Manifest) checkImage() error {
	if err := m.Image.check("image"); err != nil {
		return err
	}
	if m.Image.Length > MaxImage {
		return fmt.Errorf("image of %d bytes, at most %d are allowed", m.Image.Length, int64(MaxImage))
	}
	return m.Artifact.check("artifact")
}

func (m *Manifest) checkPatches() error {
	if len(m.Patches) > maxPatches {
		return fmt.Errorf("%d patches, at most %d are allowed", len(m.Patches), maxPatches)
	}
	from := map[Digest]bool{m.Image.SHA256: true}
	for i, p := range m.Patches {
		what := fmt.Sprintf("patch %d", i+1)
		if err := p.From.check(what + " from"); err != nil {
			return err
		}
		if from[p.From.SHA256] {
			return fmt.Errorf("%s: its base %v is the image itself or has a patch already", what, p.From.SHA256)
		}
		from[p.From.SHA256] = true
		if err := p.Framed.check(what); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifest) checkAttestations() error {
	if len(m.Attestations) > maxAttestations {
		return fmt.Errorf("%d attestations, at most %d are allowed", len(m.Attestations), maxAttestations)
	}
	for i, a := range m.Attestations {
		if err := CheckAttestationType(a.Type); err != nil {
			return err
		}
		if err := a.check(fmt.Sprintf("attestation %d", i+1)); err != nil {
			return err
		}
		if slices.Contains(m.Attestations[:i], a) {
			return fmt.Errorf("attestation %d (%s) is listed twice", i+1, a.Type)
		}
	}
	return nil
}

// checkLengths refuses one digest under two lengths, which no bytes can meet.
func (m *Manifest) checkLengths() error {
	all := []Blob{m.Image, m.Artifact.Blob, m.Artifact.Head}
	for _, p := range m.Patches {
		all = append(all, p.Blob, p.Head, p.From)
	}
	for _, a := range m.Attestations {
		all = append(all, a.Blob)
	}
	length := map[Digest]int64{}
	for _, b := range all {
		if n, known := length[b.SHA256]; known && n != b.Length {
			return fmt.Errorf("SHA-256 %v stands for %d and for %d bytes", b.SHA256, n, b.Length)
		}
		length[b.SHA256] = b.Length
	}
	return nil
}

// checkNotes lets through nothing that could play tricks on a terminal.
func (m *Manifest) checkNotes() error {
	if len(m.Notes) > maxNotes || !utf8.ValidString(m.Notes) {
		return fmt.Errorf("notes: want UTF-8 text of at most %d bytes", maxNotes)
	}
	bad := func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Bidi_Control) && r != '\n' && r != '\t'
	}
	if i := strings.IndexFunc(m.Notes, bad); i >= 0 {
		return fmt.Errorf("notes: control character at byte %d; only newline and tab are allowed", i)
	}
	return nil
}
