package attest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
)

// wanted finds what the policy wants of attestations of a type.
func (p *Policy) wanted(kind string) (Attested, bool) {
	i := slices.IndexFunc(p.Attested, func(a Attested) bool { return a.Type == kind })
	if i < 0 {
		return Attested{}, false
	}
	return p.Attested[i], true
}

// limit is the most bytes that are read of an attestation; 0 where nobody reads it.
func (p *Policy) limit(kind string) int {
	if _, ok := p.wanted(kind); ok {
		return MaxStatement
	}
	return Limit(kind)
}

// judgeStatement judges a statement, or a signature of the image. by is empty where the policy does not ask who has signed.
func (j *judge) judgeStatement(kind string, raw []byte, by []Identity) {
	if kind == TypeBundle {
		j.signedBy("the signature of the image", raw, nil, by)
		return
	}
	what := "the attestation of type " + kind
	s, err := ParseStatement(raw)
	if err != nil {
		j.refuse(doRelease, "reading %s: %v", what, err)
		return
	}
	if s.Predicate != kind {
		j.refuse(doRelease, "%s has a statement with predicateType %.120s", what, s.Predicate)
		return
	}
	j.about(what, s)
	if len(by) > 0 {
		j.signedBy(what, raw, s, by)
	}
	if sbom := SBOMIn(kind); sbom != "" {
		j.judgeSBOM(sbom, s.predicate)
	}
}

func (j *judge) about(what string, s *Statement) {
	if !s.About(j.manifest.Image.SHA256) {
		j.refuse("attach what was said of this image", "%s is not about the image: none of its %d subjects has SHA-256 %v", what, len(s.Subjects), j.manifest.Image.SHA256)
	}
}

// signedBy refuses unless one of the identities has signed. s is the statement as it was read; nil where the image itself must be
// signed.
func (j *judge) signedBy(what string, raw []byte, s *Statement, by []Identity) {
	if s != nil && !s.Bundle {
		j.refuse("have it signed with an identity, and attach the Sigstore bundle that comes of it",
			"%s is signed with a plain key, in no Sigstore bundle, and the policy wants it signed by %s", what, inWords(by))
		return
	}
	signed, err := j.keyless.Verify(raw, j.manifest.Image.SHA256)
	if err != nil {
		j.refuse("have it signed and logged again where the policy's trusted root says, or have the trusted root changed",
			"%s, which the policy wants signed by %s, cannot be believed: %v", what, inWords(by), err)
		return
	}
	if (s == nil) != (signed.Payload == nil) || s != nil && !bytes.Equal(s.payload, signed.Payload) {
		j.refuse(doRelease, "%s is signed for something else than what is read in it", what)
		return
	}
	if !slices.ContainsFunc(by, func(id Identity) bool { return id.matches(signed) }) {
		j.refuse("have it signed by whom the policy names, or have the policy changed",
			"%s is signed by %.200q, logged in at %.200q, and the policy wants it signed by %s", what, signed.SAN, signed.Issuer, inWords(by))
	}
}

func inWords(by []Identity) string {
	var words []string
	for _, id := range by {
		words = append(words, id.String())
	}
	return strings.Join(words, "; or ")
}

// missingAttested refuses for attestations that the policy wants and nobody has made.
func (j *judge) missingAttested() {
	for _, want := range j.Attested {
		if !slices.ContainsFunc(j.manifest.Attestations, func(a firmware.Attestation) bool { return a.Type == want.Type }) {
			j.refuse("release it with --attestation FILE", "it has no attestation of type %s, which the policy wants, signed by %s", want.Type, inWords(want.By))
		}
	}
}

// checkSigners checks what the policy says of identities.
func (p *Policy) checkSigners() error {
	identities := len(p.Attested)
	for i, a := range p.Attested {
		if err := a.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(p.Attested[:i], func(other Attested) bool { return other.Type == a.Type }) {
			return fmt.Errorf("attested: %s stands there twice", a.Type)
		}
	}
	for _, b := range p.Builders {
		if b.Identity == nil {
			continue
		}
		identities++
		if err := b.Identity.check(); err != nil {
			return fmt.Errorf("builder %.80s: %w", b.ID, err)
		}
	}
	if (identities > 0) != (p.TrustedRoot != "") {
		return fmt.Errorf("trusted_root: it must be there where identities are named, and only there: it says which authorities are believed")
	}
	return nil
}
