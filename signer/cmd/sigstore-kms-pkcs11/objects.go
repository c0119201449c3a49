//go:build cgo

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// What PKCS #11 2.40 does not have, and 3.0 does.
const (
	ckkEdwards       = 0x40
	ckmEdwardsGen    = 0x1055
	ckmEdDSA         = 0x1057
	maxObjects       = 4096
	lengthP256Point  = 65
	lengthP256Number = 32
)

// Curves, as CKA_EC_PARAMS: an object identifier, or for Ed25519 its name.
var (
	curveP256        = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	curveEd25519     = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}
	curveEd25519Name = append([]byte{0x13, 0x0c}, "edwards25519"...)
)

// find lists the objects of a class that the URI names.
func (s *session) find(class uint, uri tokenuri.URI) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if uri.Object != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, uri.Object))
	}
	if len(uri.ID) > 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, uri.ID))
	}
	if err := s.FindObjectsInit(s.handle, template); err != nil {
		return nil, fmt.Errorf("looking for keys: %w", explain(err))
	}
	found, _, err := s.FindObjects(s.handle, maxObjects)
	if err := errors.Join(err, s.FindObjectsFinal(s.handle)); err != nil {
		return nil, fmt.Errorf("looking for keys: %w", explain(err))
	}
	return found, nil
}

// only is the one object of a class that the URI names.
func (s *session) only(class uint, uri tokenuri.URI) (pkcs11.ObjectHandle, error) {
	found, err := s.find(class, uri)
	if err != nil {
		return 0, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	entries, err := s.entries(tokenuri.URI{})
	if err != nil {
		return 0, err
	}
	switch {
	case len(found) > 1:
		return 0, fmt.Errorf("%d keys fit: name one by object= or id=; the token has %s", len(found), described(entries))
	case !s.logged && s.info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0:
		return 0, fmt.Errorf("%sthe token shows no such key to somebody who has not logged in; it shows %s", tokenuri.WantsPIN, described(entries))
	}
	return 0, fmt.Errorf("the token has no such key; it has %s", described(entries))
}

func described(entries []tokenuri.Entry) string {
	if len(entries) == 0 {
		return "none"
	}
	var b bytes.Buffer
	for i, e := range entries {
		if i > 0 {
			b.WriteString(", ")
		}
		uri, _ := tokenuri.Parse(e.URI)
		fmt.Fprintf(&b, "%s", tokenuri.URI{Object: uri.Object, ID: uri.ID})
	}
	return b.String()
}

func (s *session) public(uri tokenuri.URI) (crypto.PublicKey, error) {
	object, err := s.only(pkcs11.CKO_PUBLIC_KEY, uri)
	if err != nil {
		return nil, err
	}
	return s.publicOf(object)
}

// publicOf reads a public key; one of an unknown kind is an error that names the kind.
func (s *session) publicOf(object pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	kind, err := s.kind(object)
	if err != nil {
		return nil, err
	}
	if kind != pkcs11.CKK_EC && kind != ckkEdwards {
		return nil, fmt.Errorf("it is %s: devices cannot verify it; use ecdsa-p256 or ed25519", kindName(kind))
	}
	a, err := s.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", explain(err))
	}
	return decodePoint(a[0].Value, a[1].Value)
}

func (s *session) kind(object pkcs11.ObjectHandle) (uint, error) {
	a, err := s.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil)})
	if err != nil {
		return 0, fmt.Errorf("reading the key's type: %w", explain(err))
	}
	kind := uint(0)
	for i := len(a[0].Value) - 1; i >= 0; i-- { // CK_ULONG; every machine that this runs on is little-endian
		kind = kind<<8 | uint(a[0].Value[i])
	}
	return kind, nil
}

func kindName(kind uint) string {
	switch kind {
	case pkcs11.CKK_RSA:
		return "an RSA key"
	case pkcs11.CKK_EC, ckkEdwards:
		return "a key on another curve"
	}
	return fmt.Sprintf("a key of type 0x%x", kind)
}

// decodePoint reads CKA_EC_POINT, which the standard wraps in an OCTET STRING and some tokens do not.
func decodePoint(params, point []byte) (crypto.PublicKey, error) {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	switch {
	case bytes.Equal(params, curveP256) && len(point) == lengthP256Point:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	case (bytes.Equal(params, curveEd25519) || bytes.Equal(params, curveEd25519Name)) && len(point) == ed25519.PublicKeySize:
		return ed25519.PublicKey(point), nil
	}
	return nil, fmt.Errorf("it is on another curve than P-256 and Ed25519 (parameters %x): devices cannot verify it; use ecdsa-p256 or ed25519", params)
}

// sign signs the message, or, if the options say so and the key allows it, its digest.
func (s *session) sign(uri tokenuri.URI, msg []byte, opts []signature.SignOption) ([]byte, error) {
	object, err := s.only(pkcs11.CKO_PRIVATE_KEY, uri)
	if err != nil {
		return nil, err
	}
	kind, err := s.kind(object)
	if err != nil {
		return nil, err
	}
	if kind == ckkEdwards {
		return s.raw(ckmEdDSA, object, msg)
	}
	if kind != pkcs11.CKK_EC {
		return nil, fmt.Errorf("it is %s: devices cannot verify it; use ecdsa-p256 or ed25519", kindName(kind))
	}
	digest, _, err := signature.ComputeDigestForSigning(bytes.NewReader(msg), crypto.SHA256, []crypto.Hash{crypto.SHA256}, opts...)
	if err != nil {
		return nil, err
	}
	sig, err := s.raw(pkcs11.CKM_ECDSA, object, digest)
	if err != nil {
		return nil, err
	}
	if len(sig) != 2*lengthP256Number {
		return nil, fmt.Errorf("the token made a signature of %d bytes instead of %d", len(sig), 2*lengthP256Number)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(sig[:lengthP256Number]), new(big.Int).SetBytes(sig[lengthP256Number:]),
	})
}

func (s *session) raw(mechanism uint, object pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := s.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, object); err != nil {
		return nil, fmt.Errorf("signing: %w", explain(err))
	}
	sig, err := s.Sign(s.handle, data)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", explain(err))
	}
	return sig, nil
}

// create makes a pair, with an id of its own.
func (s *session) create(uri tokenuri.URI, algorithm string) (crypto.PublicKey, error) {
	mechanism, curve := uint(pkcs11.CKM_EC_KEY_PAIR_GEN), curveP256
	switch algorithm {
	case p256Name:
	case ed25519Name:
		mechanism, curve = ckmEdwardsGen, curveEd25519
	default:
		return nil, fmt.Errorf("key type %q: use %s or %s", algorithm, p256Name, ed25519Name)
	}
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
		if there, err := s.find(class, tokenuri.URI{Object: uri.Object}); err != nil {
			return nil, err
		} else if len(there) > 0 {
			return nil, fmt.Errorf("the token has a key %q already, and it is not overwritten: choose another name", uri.Object)
		}
	}
	id := uri.ID
	if len(id) == 0 {
		id = make([]byte, 8)
		rand.Read(id)
	}
	public, private := templates(uri.Object, id, curve)
	object, _, err := s.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, public, private)
	if err != nil {
		return nil, fmt.Errorf("making the key: %w", explain(err))
	}
	return s.publicOf(object)
}

func templates(label string, id, curve []byte) (public, private []*pkcs11.Attribute) {
	common := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}
	public = append(common[:3:3], pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, curve))
	private = append(common[:3:3], pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false))
	return public, private
}
