package keylesstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// Authority is one whose certificates a log of certificates has seen: each has the log's promise within it. All else is its
// Sigstore's.
type Authority struct {
	*Sigstore
	root, issuer *x509.Certificate
	key, log     *ecdsa.PrivateKey
}

// NewAuthority makes the keys.
func (s *Sigstore) NewAuthority() *Authority {
	s.t.Helper()
	top, topKey, err := ca.GenerateRootCa()
	must(s.t, top, err)
	issuer, key, err := ca.GenerateFulcioIntermediate(top, topKey)
	must(s.t, issuer, err)
	log, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Authority{s, top, issuer, key, must(s.t, log, err)}
}

// trusted is what a trusted root says of it.
func (a *Authority) trusted() ([]root.CertificateAuthority, map[string]*root.TransparencyLog) {
	id := a.logID()
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	return []root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: a.root, Intermediates: []*x509.Certificate{a.issuer},
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://authority.example"}},
		map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {BaseURL: "https://certificates.example", ID: id[:], HashFunc: crypto.SHA256, PublicKey: a.log.Public(),
			ValidityPeriodStart: from, ValidityPeriodEnd: until, SignatureHashFunc: crypto.SHA256}}
}

// logID is the SHA-256 of the log's public key (RFC 6962, section 3.2).
func (a *Authority) logID() [32]byte {
	der, err := x509.MarshalPKIXPublicKey(a.log.Public())
	return sha256.Sum256(must(a.t, der, err))
}

// Attest is [Sigstore.Attest] with a certificate of this authority, which the log of another may have seen.
func (a *Authority) Attest(san, issuer string, statement []byte, seenBy *Authority) Bundle {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	cert := a.certify(san, issuer, must(a.t, key, err), seenBy)
	const kind = "application/vnd.in-toto+json"
	digest := sha256.Sum256(dsse.PAE(kind, statement))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	must(a.t, sig, err)
	envelope := &dsse.Envelope{PayloadType: kind, Payload: base64.StdEncoding.EncodeToString(statement),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}}}
	entry, err := a.ca.GenerateTlogEntry(cert, envelope, sig, time.Now().Add(5*time.Minute).Unix(), true)
	must(a.t, entry, err)
	stamp, err := a.ca.TimestampResponse(sig)
	b := a.unsigned(cert.Raw, []*tlog.Entry{entry}, [][]byte{must(a.t, stamp, err)})
	b.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{PayloadType: kind, Payload: statement, Signatures: []*protodsse.Signature{{Sig: sig}}}}
	return b
}

// certify makes the certificate twice: without the log's promise, for the log to sign, and with it.
func (a *Authority) certify(san, issuer string, key *ecdsa.PrivateKey, seenBy *Authority) *x509.Certificate {
	a.t.Helper()
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), EmailAddresses: []string{san}, NotBefore: now, NotAfter: now.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)}}}
	sign := func() *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, key.Public(), a.key)
		cert, err2 := x509.ParseCertificate(must(a.t, der, err))
		return must(a.t, cert, err2)
	}
	promise, err := asn1.Marshal(seenBy.promise(sign().RawTBSCertificate, sha256.Sum256(a.issuer.RawSubjectPublicKeyInfo), now))
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: must(a.t, promise, err)})
	return sign()
}

// promise is a list with one signed certificate timestamp, for a certificate that is not issued yet (RFC 6962, sections 3.2 and 3.3).
func (a *Authority) promise(tbs []byte, issuerKey [32]byte, at time.Time) []byte {
	a.t.Helper()
	ms := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	signed := append([]byte{0, 0}, ms...) // version 1, certificate_timestamp
	signed = append(append(signed, 0, 1), issuerKey[:]...)
	signed = append(signed, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	signed = append(append(signed, tbs...), 0, 0)
	digest := sha256.Sum256(signed)
	sig, err := ecdsa.SignASN1(rand.Reader, a.log, digest[:])
	must(a.t, sig, err)
	id := a.logID()
	sct := append(append([]byte{0}, id[:]...), ms...)
	sct = append(sct, 0, 0, 4, 3) // no extensions; SHA-256, ECDSA
	sct = append(binary.BigEndian.AppendUint16(sct, uint16(len(sig))), sig...)
	list := append(binary.BigEndian.AppendUint16(nil, uint16(len(sct))), sct...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
}
