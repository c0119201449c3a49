// Package keylesstest makes a Sigstore for tests: an authority, a log and an authority of time stamps, with keys made on the
// spot, and bundles of theirs.
package keylesstest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fairlead/fairlead/tufrepo/attest"
)

// Sigstore is one that runs nowhere: it signs when asked.
type Sigstore struct {
	t  testing.TB
	ca *ca.VirtualSigstore
}

// Bundle is a bundle that a test may still spoil.
type Bundle struct{ *protobundle.Bundle }

// New makes the keys.
func New(t testing.TB) *Sigstore {
	t.Helper()
	v, err := ca.NewVirtualSigstore()
	return &Sigstore{t, must(t, v, err)}
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Parts says what a trusted root names.
type Parts struct {
	NoAuthorities, NoLogs, NoStamps, CTLogs bool
	AuthoritiesOf                           *Sigstore  // in the place of its own
	Authority                               *Authority // alone, with its log of certificates
}

// TrustedRoot is the trusted root file.
func (s *Sigstore) TrustedRoot(p Parts) []byte {
	s.t.Helper()
	authorities, stamps := s.ca.FulcioCertificateAuthorities(), s.ca.TimestampingAuthorities()
	logs, ctlogs := s.raw(s.ca.RekorLogs()), map[string]*root.TransparencyLog{}
	if p.AuthoritiesOf != nil {
		authorities = p.AuthoritiesOf.ca.FulcioCertificateAuthorities()
	}
	if p.NoAuthorities {
		authorities = nil
	}
	if p.NoLogs {
		clear(logs)
	}
	if p.NoStamps {
		stamps = nil
	}
	if p.CTLogs {
		ctlogs = s.raw(s.ca.CTLogs())
	}
	if p.Authority != nil {
		authorities, ctlogs = p.Authority.trusted()
	}
	made, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, ctlogs, stamps, logs)
	raw, err2 := must(s.t, made, err).MarshalJSON()
	return must(s.t, raw, err2)
}

// raw gives logs the ids that a file has: the library's own stand there in hex.
func (s *Sigstore) raw(logs map[string]*root.TransparencyLog) map[string]*root.TransparencyLog {
	for id, l := range logs {
		sum, err := hex.DecodeString(id)
		l.ID = must(s.t, sum, err)
	}
	return logs
}

// Attest signs a statement as san, who is logged in at issuer; the log takes it in so long after the login. The certificate is good for ten
// minutes.
func (s *Sigstore) Attest(san, issuer string, statement []byte, after time.Duration) Bundle {
	s.t.Helper()
	e, err := s.ca.AttestAtTime(san, issuer, statement, time.Now().Add(after), true)
	return s.bundle(must(s.t, e, err))
}

// AttestV2 is Attest with a log of the second generation, which says no time: time stamps do.
func (s *Sigstore) AttestV2(san, issuer string, statement []byte) Bundle {
	s.t.Helper()
	e, err := s.ca.AttestHashedRekordV2(san, issuer, statement)
	return s.bundle(must(s.t, e, err))
}

// Sign signs the image itself.
func (s *Sigstore) Sign(san, issuer string, image []byte) Bundle {
	s.t.Helper()
	e, err := s.ca.Sign(san, issuer, image)
	b := s.bundle(must(s.t, e, err))
	entry := b.VerificationMaterial.TlogEntries[0]
	proof, err := s.ca.GetInclusionProof(entry.CanonicalizedBody)
	must(s.t, proof, err)
	sum, err := hex.DecodeString(*proof.RootHash)
	entry.InclusionProof = &protorekor.InclusionProof{LogIndex: *proof.LogIndex, TreeSize: *proof.TreeSize, RootHash: must(s.t, sum, err),
		Checkpoint: &protorekor.Checkpoint{Envelope: *proof.Checkpoint}}
	return b
}

func (s *Sigstore) bundle(e *ca.TestEntity) Bundle {
	s.t.Helper()
	content, err := e.VerificationContent()
	cert := must(s.t, content, err).Certificate()
	entries, err := e.TlogEntries()
	must(s.t, entries, err)
	stamps, err := e.Timestamps()
	b := s.unsigned(cert.Raw, entries, must(s.t, stamps, err))
	s.content(b, e)
	return b
}

// unsigned is a bundle without what was signed.
func (s *Sigstore) unsigned(cert []byte, entries []*tlog.Entry, stamps [][]byte) Bundle {
	s.t.Helper()
	b := Bundle{&protobundle.Bundle{MediaType: attest.TypeBundle, VerificationMaterial: &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert}},
	}}}
	for _, entry := range entries {
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, s.entry(entry.TransparencyLogEntry()))
	}
	data := &protobundle.TimestampVerificationData{}
	for _, one := range stamps {
		data.Rfc3161Timestamps = append(data.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: one})
	}
	b.VerificationMaterial.TimestampVerificationData = data
	return b
}

// entry gives a log entry its kind and its signed time, which the library's own leaves out.
func (s *Sigstore) entry(e *protorekor.TransparencyLogEntry) *protorekor.TransparencyLogEntry {
	s.t.Helper()
	var body struct{ Kind, APIVersion string }
	if err := json.Unmarshal(e.CanonicalizedBody, &body); err != nil {
		s.t.Fatal(err)
	}
	e.KindVersion = &protorekor.KindVersion{Kind: body.Kind, Version: body.APIVersion}
	if body.APIVersion == "0.0.1" { // later logs say no time
		sig, err := s.ca.RekorSignPayload(tlog.RekorPayload{Body: base64.StdEncoding.EncodeToString(e.CanonicalizedBody),
			IntegratedTime: e.IntegratedTime, LogIndex: e.LogIndex, LogID: hex.EncodeToString(e.LogId.KeyId)})
		e.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: must(s.t, sig, err)}
	}
	return e
}

func (s *Sigstore) content(b Bundle, e *ca.TestEntity) {
	s.t.Helper()
	content, err := e.SignatureContent()
	must(s.t, content, err)
	if m := content.MessageSignatureContent(); m != nil {
		b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: m.Digest()}, Signature: m.Signature(),
		}}
		return
	}
	raw := content.EnvelopeContent().RawEnvelope()
	payload, err := raw.DecodeB64Payload()
	b.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
		PayloadType: raw.PayloadType, Payload: must(s.t, payload, err), Signatures: []*protodsse.Signature{{Sig: content.Signature()}},
	}}
}

// JSON is the bundle's file.
func (b Bundle) JSON(t testing.TB) []byte {
	t.Helper()
	raw, err := protojson.Marshal(b.Bundle)
	return must(t, raw, err)
}
