package keyref

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// cloudKey is a key behind one of sigstore's providers.
type cloudKey struct {
	ctx   context.Context
	limit time.Duration
	where string
	sv    signature.Signer
}

func openCloud(ctx context.Context, ref string, o Options) (*Key, error) {
	k := &cloudKey{ctx: ctx, limit: o.limit(), where: "key " + ref}
	pub, err := k.load(ref, hashFunc)
	if err != nil {
		return nil, err
	}
	// Ed25519 takes the message whole, which providers must be told beforehand.
	if _, ok := pub.(ed25519.PublicKey); ok {
		if pub, err = k.load(ref, crypto.Hash(0)); err != nil {
			return nil, err
		}
	}
	return found("", k.where, pub, k)
}

func (k *cloudKey) load(ref string, hash crypto.Hash) (crypto.PublicKey, error) {
	type loaded struct {
		sv  signature.Signer
		pub crypto.PublicKey
	}
	got, err := within(k, func(ctx context.Context) (loaded, error) {
		// Providers keep this context, for credentials that they renew; it must outlive the call.
		sv, err := kms.Get(k.ctx, ref, hash)
		if err != nil {
			return loaded{}, err
		}
		pub, err := sv.PublicKey(options.WithContext(ctx))
		return loaded{sv, pub}, err
	})
	k.sv = got.sv
	return got.pub, err
}

// SignMessage implements keyfile.MessageSigner.
func (k *cloudKey) SignMessage(msg []byte) ([]byte, error) {
	return within(k, func(ctx context.Context) ([]byte, error) {
		return k.sv.SignMessage(bytes.NewReader(msg), options.WithContext(ctx))
	})
}

// within calls a provider. Some of them know no context: one that does not come back is left behind.
func within[T any](k *cloudKey, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(k.ctx, k.limit)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the provider failed: %v", p)
			}
			done <- r
		}()
		r.value, r.err = call(ctx)
	}()
	var none T
	select {
	case r := <-done:
		if r.err != nil {
			return none, fmt.Errorf("%s: %w", k.where, r.err)
		}
		return r.value, nil
	case <-ctx.Done():
		if k.ctx.Err() != nil {
			return none, k.ctx.Err()
		}
		return none, late(k.where, k.limit)
	}
}
