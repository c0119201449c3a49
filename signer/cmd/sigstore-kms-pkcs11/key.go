//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// Names of algorithms, as sigstore's other providers write them; the short ones are fairlead's.
const (
	ed25519Name = "ed25519"
	p256Name    = "ecdsa-p256"
)

// maxMessage is the most bytes that are signed.
const maxMessage = 16 << 20

// key answers the questions of the protocol for one URI.
type key struct{ uri tokenuri.URI }

// PublicKey implements sigstore's SignerVerifier.
func (k key) PublicKey(...signature.PublicKeyOption) (pub crypto.PublicKey, err error) {
	err = withSession(k.uri, false, func(s *session) error {
		pub, err = s.public(k.uri)
		return err
	})
	return pub, err
}

// SignMessage implements sigstore's SignerVerifier.
func (k key) SignMessage(message io.Reader, opts ...signature.SignOption) (sig []byte, err error) {
	msg, err := io.ReadAll(io.LimitReader(message, maxMessage+1))
	if err != nil || len(msg) > maxMessage {
		return nil, errors.Join(fmt.Errorf("reading what is to be signed, at most %d bytes", maxMessage), err)
	}
	err = withSession(k.uri, true, func(s *session) error {
		sig, err = s.sign(k.uri, msg, opts)
		return err
	})
	return sig, err
}

// VerifySignature implements sigstore's SignerVerifier, with the token's public key.
func (k key) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	pub, err := k.PublicKey()
	if err != nil {
		return err
	}
	hash := crypto.SHA256
	if _, ok := pub.(ed25519.PublicKey); ok {
		hash = crypto.Hash(0)
	}
	v, err := signature.LoadVerifier(pub, hash)
	if err != nil {
		return err
	}
	return v.VerifySignature(sig, message, opts...)
}

// CreateKey implements sigstore's SignerVerifier: a pair that cannot leave the token.
func (k key) CreateKey(_ context.Context, algorithm string) (pub crypto.PublicKey, err error) {
	if k.uri.Object == "" {
		return nil, errors.New("a new key needs a name: object=NAME")
	}
	err = withSession(k.uri, true, func(s *session) error {
		pub, err = s.create(k.uri, algorithm)
		return err
	})
	return pub, err
}

// CryptoSigner implements sigstore's SignerVerifier; the protocol never asks for it.
func (key) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not part of the protocol")
}

// SupportedAlgorithms implements sigstore's SignerVerifier.
func (key) SupportedAlgorithms() []string { return []string{p256Name, ed25519Name} }

// DefaultAlgorithm implements sigstore's SignerVerifier: what every HSM has.
func (key) DefaultAlgorithm() string { return p256Name }
