package attest

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// TypeBundle is the type of a Sigstore bundle that signs the image itself and states nothing of it. A bundle around a statement
// is entered under the type of its predicate.
const TypeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"

// MaxStatement is the longest statement in its envelope, in bytes, the bundle around it included.
const MaxStatement = 4 << 20

const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	bundleTypes   = "application/vnd.dev.sigstore.bundle"
	maxSignatures = 16
	maxSubjects   = 4096
)

// Statement is an in-toto Statement v1 of whatever predicate, in a DSSE envelope. That somebody has signed it is for
// [Statement.SignedBy] to tell, or for the certificate of the bundle that it came in.
type Statement struct {
	Predicate string // URI of the kind of predicate
	Subjects  []Subject
	Bundle    bool // the envelope came in a Sigstore bundle

	predicate  json.RawMessage
	payload    []byte
	signatures [][]byte
}

// Subject is something that the statement is about.
type Subject struct {
	Name   string
	SHA256 firmware.Digest // zero if only other digests are given
}

type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	} `json:"signatures"`
}

type wireStatement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// ParseStatement reads a DSSE envelope, bare or in a Sigstore bundle, and the statement in it. No signature is verified.
func ParseStatement(raw []byte) (*Statement, error) {
	e, bundled, err := openBundle(raw)
	if err != nil {
		return nil, err
	}
	s := &Statement{Bundle: bundled}
	if err := s.unwrap(e); err != nil {
		return nil, err
	}
	return s, s.parse()
}

// Attestation is one of whatever type, as much of it as there is to know before anybody verifies a signature.
type Attestation struct {
	Type     string // under which it stands in a manifest
	Subjects []Subject
	Bundle   bool // it is a Sigstore bundle
}

// Parse reads a statement in its envelope, bare or in a Sigstore bundle, or a bundle that signs the image itself.
func Parse(raw []byte) (*Attestation, error) {
	if sum, ok := messageDigest(raw); ok {
		return &Attestation{TypeBundle, []Subject{{SHA256: sum}}, true}, nil
	}
	s, err := ParseStatement(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the attestation: %w", err)
	}
	switch {
	case unsignedTypes[s.Predicate] || s.Predicate == TypeBundle:
		err = fmt.Errorf("reading the attestation: predicateType %s is the type of documents without an envelope: attach the document itself", s.Predicate)
	case s.Predicate == TypeProvenance:
		_, err = ParseProvenance(raw)
	default:
		err = firmware.CheckAttestationType(s.Predicate)
	}
	if err != nil {
		return nil, err
	}
	return &Attestation{s.Predicate, s.Subjects, s.Bundle}, nil
}

// About tells whether the image of that SHA-256 is one of the subjects.
func (a *Attestation) About(image firmware.Digest) bool { return among(a.Subjects, image) }

func among(subjects []Subject, image firmware.Digest) bool {
	return !image.IsZero() && slices.ContainsFunc(subjects, func(s Subject) bool { return s.SHA256 == image })
}

// messageDigest finds the SHA-256 of what a bundle without an envelope signs.
func messageDigest(raw []byte) (sum firmware.Digest, ok bool) {
	var b struct {
		MediaType string `json:"mediaType"`
		Message   *struct {
			Digest struct {
				Algorithm string `json:"algorithm"`
				Digest    []byte `json:"digest"`
			} `json:"messageDigest"`
		} `json:"messageSignature"`
	}
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: MaxStatement, AllowNull: true}, &b); err != nil {
		return sum, false
	}
	if !strings.HasPrefix(b.MediaType, bundleTypes) || b.Message == nil {
		return sum, false
	}
	if b.Message.Digest.Algorithm == "SHA2_256" && len(b.Message.Digest.Digest) == len(sum) {
		sum = firmware.Digest(b.Message.Digest.Digest)
	}
	return sum, true
}

// openBundle finds the envelope. That of a bundle is one of many members; a bare one has no other members, and each of them counts.
func openBundle(raw []byte) (e envelope, bundled bool, err error) {
	var b struct {
		MediaType string    `json:"mediaType"`
		Envelope  *envelope `json:"dsseEnvelope"`
	}
	if err := strictjson.Check(raw, strictjson.Options{MaxBytes: MaxStatement, AllowNull: true}); err != nil {
		return e, false, fmt.Errorf("the DSSE envelope: %w", err)
	}
	if err := json.Unmarshal(raw, &b); err != nil || b.MediaType == "" {
		if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: MaxStatement, Known: true}, &e); err != nil {
			return e, false, fmt.Errorf("the DSSE envelope: %w", err)
		}
		return e, false, nil
	}
	if !strings.HasPrefix(b.MediaType, bundleTypes) {
		return e, true, fmt.Errorf("mediaType %.80q is not that of a Sigstore bundle", b.MediaType)
	}
	if b.Envelope == nil {
		return e, true, fmt.Errorf("the Sigstore bundle has no dsseEnvelope: it signs bytes, and states nothing of them")
	}
	return *b.Envelope, true, nil
}

// unwrap takes payload and signatures out of the envelope (DSSE 1.0.2).
func (s *Statement) unwrap(e envelope) (err error) {
	if e.PayloadType != payloadType {
		return fmt.Errorf("the DSSE envelope has payloadType %.80q instead of %q", e.PayloadType, payloadType)
	}
	if s.payload, err = decodeBase64(e.Payload); err != nil {
		return fmt.Errorf("the payload of the DSSE envelope is not base64: %w", err)
	}
	if len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures {
		return fmt.Errorf("the DSSE envelope has %d signatures, want 1 to %d", len(e.Signatures), maxSignatures)
	}
	for i, one := range e.Signatures {
		sig, err := decodeBase64(one.Sig)
		if err != nil || len(sig) == 0 {
			return fmt.Errorf("signature %d of the DSSE envelope is not base64", i+1)
		}
		s.signatures = append(s.signatures, sig)
	}
	return nil
}

// decodeBase64 takes both alphabets, as DSSE wants it, in one strict form.
func decodeBase64(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.Strict().DecodeString(s)
}

func (s *Statement) parse() error {
	var wire wireStatement
	if err := decode(s.payload, MaxStatement, &wire); err != nil {
		return fmt.Errorf("the statement: %w", err)
	}
	switch {
	case wire.Type != statementType:
		return fmt.Errorf("the statement has _type %.80q instead of %q", wire.Type, statementType)
	case wire.PredicateType == "":
		return fmt.Errorf("the statement has no predicateType")
	case len(wire.Subject) == 0 || len(wire.Subject) > maxSubjects:
		return fmt.Errorf("the statement has %d subjects, want 1 to %d", len(wire.Subject), maxSubjects)
	}
	s.Predicate, s.predicate = wire.PredicateType, wire.Predicate
	for i, subject := range wire.Subject {
		made, err := newSubject(subject.Name, subject.Digest)
		if err != nil {
			return fmt.Errorf("subject %d: %w", i+1, err)
		}
		s.Subjects = append(s.Subjects, made)
	}
	return nil
}

func newSubject(name string, digest map[string]string) (Subject, error) {
	s := Subject{Name: name}
	if len(digest) == 0 {
		return s, fmt.Errorf("it has no digest")
	}
	text, ok := digest["sha256"]
	if !ok {
		return s, nil
	}
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != len(s.SHA256) {
		return s, fmt.Errorf("its sha256 %.80q is not 64 hex digits", text)
	}
	copy(s.SHA256[:], sum)
	return s, nil
}

// About tells whether the image of that SHA-256 is one of the subjects.
func (s *Statement) About(image firmware.Digest) bool { return among(s.Subjects, image) }

// SignedBy tells whether one of the signatures is by the key, Ed25519 or P-256. The key ids in the envelope are hints by
// whoever made it, and have no say.
func (s *Statement) SignedBy(key crypto.PublicKey) (bool, error) {
	k, err := keyfile.TUFKey(key)
	if err != nil {
		return false, err
	}
	id, err := k.ID()
	if err != nil {
		return false, err
	}
	message := preAuth(s.payload)
	return slices.ContainsFunc(s.signatures, func(sig []byte) bool { return keyfile.Verify(id, k, message, sig) == nil }), nil
}

// preAuth is what DSSE signs: the type and the payload, each behind its length.
func preAuth(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}
