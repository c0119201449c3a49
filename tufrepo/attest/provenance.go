package attest

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// MaxProvenance is the longest provenance statement in its envelope, in bytes.
const MaxProvenance = 4 << 20

const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	maxSignatures = 16
	maxSubjects   = 4096
)

// Provenance says who built what, and how. That somebody has signed it is for [Provenance.SignedBy] to tell.
type Provenance struct {
	Builder   string // URI of the build system
	BuildType string // URI of the kind of build
	Subjects  []Subject

	payload    []byte
	signatures [][]byte
}

// Subject is something that was built.
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

type statement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		BuildDefinition struct {
			BuildType          string         `json:"buildType"`
			ExternalParameters map[string]any `json:"externalParameters"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// ParseProvenance reads a DSSE envelope with SLSA provenance v1. Its signatures are not verified.
func ParseProvenance(raw []byte) (*Provenance, error) {
	p, err := parseEnvelope(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	if err := p.parseStatement(); err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	return p, nil
}

// parseEnvelope reads the envelope (DSSE 1.0.2). Its members are few and each of them counts, so others are refused.
func parseEnvelope(raw []byte) (*Provenance, error) {
	var e envelope
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: MaxProvenance, Known: true}, &e); err != nil {
		return nil, fmt.Errorf("the DSSE envelope: %w", err)
	}
	if e.PayloadType != payloadType {
		return nil, fmt.Errorf("the DSSE envelope has payloadType %.80q instead of %q", e.PayloadType, payloadType)
	}
	payload, err := decodeBase64(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("the payload of the DSSE envelope is not base64: %w", err)
	}
	if len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures {
		return nil, fmt.Errorf("the DSSE envelope has %d signatures, want 1 to %d", len(e.Signatures), maxSignatures)
	}
	p := &Provenance{payload: payload}
	for i, s := range e.Signatures {
		sig, err := decodeBase64(s.Sig)
		if err != nil || len(sig) == 0 {
			return nil, fmt.Errorf("signature %d of the DSSE envelope is not base64", i+1)
		}
		p.signatures = append(p.signatures, sig)
	}
	return p, nil
}

// decodeBase64 takes both alphabets, as DSSE wants it, in one strict form.
func decodeBase64(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.Strict().DecodeString(s)
}

func (p *Provenance) parseStatement() error {
	var s statement
	if err := decode(p.payload, MaxProvenance, &s); err != nil {
		return fmt.Errorf("the statement: %w", err)
	}
	switch {
	case s.Type != statementType:
		return fmt.Errorf("the statement has _type %.80q instead of %q", s.Type, statementType)
	case s.PredicateType != TypeProvenance:
		return fmt.Errorf("the statement has predicateType %.80q instead of %q", s.PredicateType, TypeProvenance)
	case len(s.Subject) == 0 || len(s.Subject) > maxSubjects:
		return fmt.Errorf("the statement has %d subjects, want 1 to %d", len(s.Subject), maxSubjects)
	case s.Predicate.BuildDefinition.ExternalParameters == nil:
		return fmt.Errorf("the statement has no buildDefinition.externalParameters")
	}
	p.BuildType, p.Builder = s.Predicate.BuildDefinition.BuildType, s.Predicate.RunDetails.Builder.ID
	for _, uri := range []struct{ member, value string }{{"buildDefinition.buildType", p.BuildType}, {"runDetails.builder.id", p.Builder}} {
		if u, err := url.Parse(uri.value); err != nil || u.Scheme == "" {
			return fmt.Errorf("%s %.80q is not a URI", uri.member, uri.value)
		}
	}
	for i, subject := range s.Subject {
		made, err := newSubject(subject.Name, subject.Digest)
		if err != nil {
			return fmt.Errorf("subject %d: %w", i+1, err)
		}
		p.Subjects = append(p.Subjects, made)
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
func (p *Provenance) About(image firmware.Digest) bool {
	return !image.IsZero() && slices.ContainsFunc(p.Subjects, func(s Subject) bool { return s.SHA256 == image })
}

// SignedBy tells whether one of the signatures is by the key, Ed25519 or P-256. The key ids in the envelope are hints by
// whoever made it, and have no say.
func (p *Provenance) SignedBy(key crypto.PublicKey) (bool, error) {
	k, err := keyfile.TUFKey(key)
	if err != nil {
		return false, err
	}
	id, err := k.ID()
	if err != nil {
		return false, err
	}
	message := preAuth(p.payload)
	return slices.ContainsFunc(p.signatures, func(sig []byte) bool { return keyfile.Verify(id, k, message, sig) == nil }), nil
}

// preAuth is what DSSE signs: the type and the payload, each behind its length.
func preAuth(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}
