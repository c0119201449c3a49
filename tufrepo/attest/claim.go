package attest

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Fulcio's extensions with the issuer of the login: the newer one in ASN.1, the older one as it is.
var (
	oidIssuer    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}
	oidIssuerRaw = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}
)

// Claimed is what the certificate in a Sigstore bundle says of who has signed: for people who write a policy, and for nothing else, since
// nobody has proved it. ok tells whether there is a certificate that names somebody.
func Claimed(raw []byte) (claim Identity, ok bool) {
	type certificate struct {
		Raw []byte `json:"rawBytes"`
	}
	var b struct {
		Material struct {
			Certificate *certificate `json:"certificate"`
			Chain       *struct {
				Certificates []certificate `json:"certificates"`
			} `json:"x509CertificateChain"`
		} `json:"verificationMaterial"`
	}
	if strictjson.Check(raw, strictjson.Options{MaxBytes: MaxStatement, AllowNull: true}) != nil || json.Unmarshal(raw, &b) != nil {
		return claim, false
	}
	leaf := b.Material.Certificate
	if chain := b.Material.Chain; leaf == nil && chain != nil && len(chain.Certificates) > 0 {
		leaf = &chain.Certificates[0]
	}
	if leaf == nil {
		return claim, false
	}
	cert, err := x509.ParseCertificate(leaf.Raw)
	if err != nil {
		return claim, false
	}
	return Identity{Issuer: loginIssuer(cert), SAN: login(cert)}, login(cert) != ""
}

func login(cert *x509.Certificate) string {
	switch {
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	}
	return ""
}

func loginIssuer(cert *x509.Certificate) (issuer string) {
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(oidIssuer):
			var text string
			if rest, err := asn1.Unmarshal(e.Value, &text); err == nil && len(rest) == 0 {
				return text
			}
		case e.Id.Equal(oidIssuerRaw):
			issuer = string(e.Value)
		}
	}
	return issuer
}
