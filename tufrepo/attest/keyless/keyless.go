package keyless

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/attest"
)

// Prover proves bundles by one trusted root.
type Prover struct {
	trusted  *root.TrustedRoot
	verifier *verify.Verifier
}

// Open reads a trusted root (application/vnd.dev.sigstore.trustedroot+json;version=0.1). It is an [attest.OpenKeyless].
func Open(raw []byte) (k attest.Keyless, err error) {
	defer asError(&err)
	if err := strictjson.Check(raw, strictjson.Options{MaxBytes: attest.MaxTrustedRoot, AllowNull: true}); err != nil {
		return nil, err
	}
	trusted, err := root.NewTrustedRootFromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("it is not a Sigstore trusted root: %w", err)
	}
	if len(trusted.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("it names no certificate authority: no identity could be believed")
	}
	if len(trusted.RekorLogs()) == 0 {
		return nil, errors.New("it names no transparency log: nobody would learn of a login that was stolen")
	}
	options := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithoutStatementPredicate()}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return nil, err
	}
	return &Prover{trusted, verifier}, nil
}

// asError makes an error of a panic of the library, which reads foreign bytes.
func asError(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("it cannot be read: %.200v", r)
	}
}

// Verify proves a bundle (attest.Keyless). A statement may be about anything: what it says of the image is for the caller.
func (p *Prover) Verify(raw []byte, image firmware.Digest) (signed attest.Signed, err error) {
	defer asError(&err)
	if err := strictjson.Check(raw, strictjson.Options{MaxBytes: attest.MaxStatement, AllowNull: true}); err != nil {
		return signed, fmt.Errorf("the Sigstore bundle: %w", err)
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return signed, fmt.Errorf("the Sigstore bundle cannot be read: %w", err)
	}
	content, err := b.VerificationContent()
	if err != nil {
		return signed, fmt.Errorf("the Sigstore bundle's certificate cannot be read: %w", err)
	}
	cert := content.Certificate()
	if cert == nil {
		return signed, fmt.Errorf("the Sigstore bundle is signed with a plain key, and has no certificate that says who was logged in")
	}
	came := describe(b, cert) // before the library takes extensions out of the certificate
	about := verify.WithoutArtifactUnsafe()
	envelope, err := b.Envelope()
	if err != nil { // without an envelope the image is what must be signed
		about, envelope = verify.WithArtifactDigest("sha256", image[:]), nil
	}
	result, err := p.verifier.Verify(b, verify.NewPolicy(about, verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return signed, fmt.Errorf("asked for is %s; there is %s: %w", p.asks(), came, err)
	}
	signed.Issuer, signed.SAN = result.Signature.Certificate.Issuer, result.Signature.Certificate.SubjectAlternativeName
	if envelope != nil {
		signed.Payload, err = envelope.RawEnvelope().DecodeB64Payload()
	}
	return signed, err
}

// asks says in words what the trusted root wants of a bundle.
func (p *Prover) asks() string {
	var authorities []string
	for _, a := range p.trusted.FulcioCertificateAuthorities() {
		if f, ok := a.(*root.FulcioCertificateAuthority); ok {
			authorities = append(authorities, f.URI)
		}
	}
	text := "a certificate of " + strings.Join(authorities, " or ")
	if n := len(p.trusted.CTLogs()); n > 0 {
		text += fmt.Sprintf(" that one of %d logs of certificates has seen", n)
	}
	var logs []string
	for _, id := range slices.Sorted(maps.Keys(p.trusted.RekorLogs())) {
		logs = append(logs, p.trusted.RekorLogs()[id].BaseURL)
	}
	return text + ", and an entry in the log " + strings.Join(logs, " or ") + " from the time when it was valid"
}

// describe says in words what came: what an unproved bundle says of itself.
func describe(b *bundle.Bundle, cert *x509.Certificate) string {
	who := "nobody that can be read"
	if s, err := certificate.SummarizeCertificate(cert); err == nil {
		who = fmt.Sprintf("%.200q, logged in at %.200q", s.SubjectAlternativeName, s.Issuer)
	}
	entries, _ := b.TlogEntries()
	stamps, _ := b.Timestamps()
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	return fmt.Sprintf("a certificate for %s, by %.200q, valid from %s to %s UTC, with %d log entries and %d time stamps",
		who, cert.Issuer.String(), day(cert.NotBefore), day(cert.NotAfter), len(entries), len(stamps))
}
