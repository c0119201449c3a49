package firmware

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
	return firstError(m.checkHardware, m.checkImage, m.checkPatches, m.checkChunks, m.checkAttestations, m.checkLengths, m.checkNotes)
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

func (m *Manifest) checkChunks() error {
	if m.Chunks == nil {
		return nil
	}
	return m.Chunks.check("chunks")
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
	if m.Chunks != nil {
		all = append(all, m.Chunks.Blob, m.Chunks.Head)
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
