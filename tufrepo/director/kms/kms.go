// Package kms wraps one small key by a key that stays in a key management service: AWS KMS, Google Cloud KMS, Azure Key
// Vault, or the transit engine of HashiCorp Vault. gocloud.dev/secrets speaks to them.
//
// A reference is a URL:
//
//	awskms://arn:aws:kms:REGION:ACCOUNT:key/ID?region=REGION, awskms://alias/NAME?region=REGION
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//	azurekeyvault://NAME.vault.azure.net/keys/KEY
//	hashivault://KEY, where VAULT_ADDR and VAULT_TOKEN say the rest
//
// Credentials come from where each cloud's own tools look; a reference never holds one. The services are linked only by
// the build tags kms_aws, kms_gcp, kms_azure and kms_vault, or kms for all: without them every reference is an error
// that says so. A call that does not come back is given up after Limit.
package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limit is how long one call may take.
const Limit = 30 * time.Second

const maxReference = 1024

// keeper is one key of a service.
type keeper interface {
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
	Close() error
}

var tags = map[string]string{"awskms": "kms_aws", "gcpkms": "kms_gcp", "azurekeyvault": "kms_azure", "hashivault": "kms_vault"}

// Check refuses what is no reference.
func Check(ref string) error {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok || tags[scheme] == "" || rest == "" || len(ref) > maxReference || strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%.100q is not a key of a key management service: give awskms://, gcpkms://, azurekeyvault:// or hashivault:// and the key", ref)
	}
	return nil
}

// Wrap encrypts a small key.
func Wrap(ctx context.Context, ref string, key []byte) ([]byte, error) {
	return call(ctx, ref, "encrypting", func(ctx context.Context, k keeper) ([]byte, error) { return k.Encrypt(ctx, key) })
}

// Unwrap gives back what Wrap was given.
func Unwrap(ctx context.Context, ref string, wrapped []byte) ([]byte, error) {
	return call(ctx, ref, "decrypting", func(ctx context.Context, k keeper) ([]byte, error) { return k.Decrypt(ctx, wrapped) })
}

// call does not trust a provider: some know no context, and some panic at an answer that lacks a member.
func call(ctx context.Context, ref, doing string, do func(context.Context, keeper) ([]byte, error)) ([]byte, error) {
	if err := Check(ref); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("the service gave an answer that is none: %v", p)}
			}
			done <- r
		}()
		// Providers keep this context, for credentials that they renew; it must outlive the call.
		k, err := open(context.WithoutCancel(ctx), ref)
		if err != nil {
			r.err = err
			return
		}
		defer k.Close()
		r.data, r.err = do(ctx, k)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("%s with %s: %w", doing, ref, r.err)
		}
		return r.data, nil
	case <-ctx.Done():
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the service did not answer within %v", Limit)
		}
		return nil, fmt.Errorf("%s with %s: %w", doing, ref, err)
	}
}

func missing(ref string) error {
	scheme, _, _ := strings.Cut(ref, "://")
	return fmt.Errorf("this fairlead-repo was built without %s://: build one with make build KMS=%s, or KMS=kms for all services", scheme, tags[scheme])
}
