//go:build cgo

package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// FuzzDecodePoint: a token's public key is one that devices can verify, or refused.
func FuzzDecodePoint(f *testing.F) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	point, err := p256.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []struct{ params, point []byte }{
		{curveP256, point}, {curveEd25519, ed}, {curveEd25519Name, ed}, {curveP256, make([]byte, lengthP256Point)}, {nil, nil},
	} {
		wrapped, _ := asn1.Marshal(seed.point)
		f.Add(seed.params, seed.point)
		f.Add(seed.params, wrapped)
	}
	f.Fuzz(func(t *testing.T, params, point []byte) {
		pub, err := decodePoint(params, point)
		if err != nil {
			return
		}
		if _, err := keyfile.AlgorithmOf(pub); err != nil {
			t.Errorf("%x %x: %v", params, point, err)
		}
	})
}

func TestDecodePoint(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, _ := key.PublicKey.Bytes()
	wrapped, _ := asn1.Marshal(point)
	for name, given := range map[string][]byte{"as the standard has it": wrapped, "as some tokens have it": point} {
		pub, err := decodePoint(curveP256, given)
		if err != nil || !key.PublicKey.Equal(pub) {
			t.Errorf("%s: %v, %v", name, pub, err)
		}
	}
	if _, err := decodePoint([]byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, wrapped); err == nil {
		t.Error("a point on P-384 was taken")
	}
	if _, err := decodePoint(curveP256, make([]byte, lengthP256Point)); err == nil {
		t.Error("a point that is not on the curve was taken")
	}
}
