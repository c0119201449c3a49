package signer

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	makesbom "github.com/fairlead/fairlead/signer/attest"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// Attachment is something that is said of a release, read and checked. Its bytes become a blob that the manifest pins.
type Attachment struct {
	Type string // as in the manifest
	File string // where it came from, for messages
	raw  []byte
	// about, if set, tells whether it is about the image.
	about func(image firmware.Digest) bool
}

// ReadSBOM reads an SBOM, CycloneDX or SPDX, from a file.
func ReadSBOM(path string) (Attachment, error) {
	raw, err := readFile(path, attest.MaxSBOM)
	if err != nil {
		return Attachment{}, err
	}
	s, err := attest.ParseSBOM(raw)
	if err != nil {
		return Attachment{}, refuse("%s: %w", path, err)
	}
	return Attachment{Type: s.Type, File: path, raw: raw}, nil
}

// MakeSBOM makes an SBOM of the packages of the root file system in dir.
func MakeSBOM(dir, product, version string) (Attachment, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return Attachment{}, refuse("%s is not a folder: give the root folder of the image's file system", dir)
	}
	raw, err := makesbom.FromDir(dir, makesbom.Subject{Product: product, Version: version})
	if err != nil {
		return Attachment{}, refusal{err}
	}
	s, err := attest.ParseSBOM(raw)
	if err != nil {
		return Attachment{}, fmt.Errorf("the SBOM of %s: %w", dir, err)
	}
	return Attachment{Type: s.Type, File: dir, raw: raw}, nil
}

// ReadProvenance reads SLSA provenance in its envelope from a file. Who signed it is for the publish policy to judge; that
// it is about the image, [NewRelease] makes sure.
func ReadProvenance(path string) (Attachment, error) {
	raw, err := readFile(path, attest.MaxStatement)
	if err != nil {
		return Attachment{}, err
	}
	p, err := attest.ParseProvenance(raw)
	if err != nil {
		return Attachment{}, refuse("%s: %w", path, err)
	}
	return Attachment{Type: attest.TypeProvenance, File: path, raw: raw, about: p.About}, nil
}

// ReadAttestation reads an attestation of whatever predicate from a file: a statement in its envelope, or a Sigstore bundle.
func ReadAttestation(path string) (Attachment, error) {
	raw, err := readFile(path, attest.MaxStatement)
	if err != nil {
		return Attachment{}, err
	}
	a, err := attest.Parse(raw)
	if err != nil {
		return Attachment{}, refuse("%s: %w", path, err)
	}
	return Attachment{Type: a.Type, File: path, raw: raw, about: a.About}, nil
}

// ReadVEX reads an OpenVEX document from a file.
func ReadVEX(path string) (Attachment, error) {
	raw, err := readFile(path, attest.MaxVEX)
	if err != nil {
		return Attachment{}, err
	}
	if _, err := attest.ParseVEX(raw); err != nil {
		return Attachment{}, refuse("%s: %w", path, err)
	}
	return Attachment{Type: attest.TypeVEX, File: path, raw: raw}, nil
}

// attach puts the attachments into the bundle and their digests into the manifest, once the image is known.
func (o ReleaseOptions) attach(dir string, m *firmware.Manifest) error {
	for _, a := range o.Attachments {
		if a.about != nil && !a.about(m.Image.SHA256) {
			return refuse("%s is not about %s: none of its subjects has SHA-256 %v; attach what was said of this image", a.File, o.Image, m.Image.SHA256)
		}
		blob := firmware.Blob{Length: int64(len(a.raw)), SHA256: firmware.Sum(a.raw)}
		if err := durable.WriteFile(filepath.Join(dir, bundle.BlobName(blob.SHA256)), a.raw, 0o644); err != nil {
			return fmt.Errorf("attaching %s: %w", a.File, err)
		}
		m.Attestations = append(m.Attestations, firmware.Attestation{Type: a.Type, Blob: blob})
	}
	return nil
}
