package tuftest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Key signs for a role.
type Key struct {
	signature.Signer
	TUF *metadata.Key
	ID  string
}

// NewKey makes a key of kind "ed25519", "ecdsa" (P-256) or "rsa".
func NewKey(kind string) Key {
	switch kind {
	case "ed25519":
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		return newKey(priv, priv.Public(), err)
	case "ecdsa":
		priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return newKey(priv, priv.Public(), err)
	case "rsa":
		priv, err := rsa.GenerateKey(rand.Reader, 2048)
		return newKey(priv, priv.Public(), err)
	}
	panic("tuftest: unknown kind of key " + kind)
}

func newKey(priv crypto.Signer, pub crypto.PublicKey, err error) Key {
	check(err)
	var s signature.Signer
	if r, ok := priv.(*rsa.PrivateKey); ok {
		s, err = signature.LoadRSAPSSSigner(r, crypto.SHA256, &rsa.PSSOptions{Hash: crypto.SHA256})
	} else {
		s, err = signature.LoadSigner(priv, crypto.SHA256)
	}
	check(err)
	tuf, err := metadata.KeyFromPublicKey(pub)
	check(err)
	id, err := tuf.ID()
	check(err)
	return Key{Signer: s, TUF: tuf, ID: id}
}

// WithField is the same key with a member that TUF does not know, and so
// another id.
func (k Key) WithField(name string, value any) Key {
	tuf := &metadata.Key{Type: k.TUF.Type, Scheme: k.TUF.Scheme, Value: k.TUF.Value, UnrecognizedFields: map[string]any{name: value}}
	id, err := tuf.ID()
	check(err)
	return Key{Signer: k.Signer, TUF: tuf, ID: id}
}

// sign makes one signature per key over signed, in the order given.
func sign(signed any, keys []Key) []metadata.Signature {
	payload, err := cjson.EncodeCanonical(signed)
	check(err)
	sigs := []metadata.Signature{}
	for _, k := range keys {
		b, err := k.SignMessage(bytes.NewReader(payload))
		check(err)
		sigs = append(sigs, metadata.Signature{KeyID: k.ID, Signature: b})
	}
	return sigs
}

// check panics: nothing here fails but by a mistake in a test.
func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("tuftest: %v", err))
	}
}
