package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// vouched tells whether enough of those who may sign role have signed these bytes, by the rule of go-tuf's VerifyDelegate, which
// prints the whole document anew for every key. It is true only where that accepts; where it is false, go-tuf is asked.
func vouched(d *metadata.Delegations, role string, signatures []metadata.Signature, signed []byte) bool {
	if d == nil {
		return false
	}
	i := slices.IndexFunc(d.Roles, func(r metadata.DelegatedRole) bool { return r.Name == role })
	if i < 0 || d.Roles[i].Threshold < 1 {
		return false
	}
	good := map[string]bool{} // public keys: one that is listed under two ids counts once
	for _, id := range d.Roles[i].KeyIDs {
		key := d.Keys[id]
		for _, s := range signatures {
			if s.KeyID != id || key == nil {
				continue
			}
			if public := verifiedBy(key, signed, s.Signature); public != "" {
				good[public] = true
			}
		}
	}
	return len(good) >= d.Roles[i].Threshold
}

// verifiedBy gives the public key by which a signature verifies, or "" if it does not, or if that is not for us to say: of keys we
// know Ed25519 and P-256.
func verifiedBy(key *metadata.Key, signed, sig []byte) string {
	pub, err := key.ToPublicKey()
	if err != nil {
		return ""
	}
	good := false
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		good = len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, signed, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(signed)
		good = pub.Curve == elliptic.P256() && key.Scheme == metadata.KeySchemeECDSA_SHA2_P256 && ecdsa.VerifyASN1(pub, digest[:], sig)
	}
	if !good {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	return string(der)
}
