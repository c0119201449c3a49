package keyref

import (
	"context"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// Listed is a key as it is shown.
type Listed struct {
	Ref      string            `json:"ref,omitempty"` // leads to it
	Name     string            `json:"name,omitempty"`
	Type     keyfile.Algorithm `json:"type,omitempty"`
	ID       string            `json:"id,omitempty"`         // TUF key id
	Public   string            `json:"public_key,omitempty"` // PEM
	Unusable string            `json:"unusable,omitempty"`   // why it cannot sign metadata
}

// Listed is the key as it is shown. Ref stays empty: whoever opened it knows.
func (k *Key) Listed() (Listed, error) {
	alg, err := keyfile.AlgorithmOf(k.Public)
	if err != nil {
		return Listed{}, err
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(k.Public)
	return Listed{Name: k.Name, Type: alg, ID: k.ID(), Public: string(pem)}, err
}

// Sources are the places that the environment names: a PKCS #11 module, an agent.
func Sources(getenv func(string) string) []string {
	var refs []string
	if getenv("PKCS11_MODULE_PATH") != "" {
		refs = append(refs, tokenuri.Scheme+":")
	}
	if getenv("SSH_AUTH_SOCK") != "" {
		refs = append(refs, agentScheme+":")
	}
	return refs
}

// List tells which keys are on the tokens that a reference fits, or in ssh-agent.
func List(ctx context.Context, ref string, o Options) ([]Listed, error) {
	switch Scheme(ref) {
	case tokenuri.Scheme:
		return listTokens(ctx, ref, o)
	case agentScheme:
		return listAgent(ctx, o)
	}
	return nil, fmt.Errorf("%s: %w whose keys can be listed: use one of pkcs11: or of ssh-agent", ref, ErrReference)
}

func listTokens(ctx context.Context, ref string, o Options) ([]Listed, error) {
	t, err := newToken(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	var pin []byte
	if o.PIN != nil {
		if pin, err = o.PIN(); err != nil {
			return nil, err
		}
	}
	if len(pin) == 0 {
		pin = nil
	}
	var answer tokenuri.Listing
	if err := t.plugin.run(ctx, nil, pin, &answer, tokenuri.ListCommand, t.uri.String()); err != nil {
		return nil, fmt.Errorf("listing %s: %w", t.uri, err)
	}
	if err := refused(answer.Error); err != nil {
		return nil, fmt.Errorf("listing %s: %w", t.uri, err)
	}
	var all []Listed
	for _, e := range answer.Keys {
		l := Listed{Ref: e.URI, Name: e.Object, Unusable: e.Kind}
		if l.Unusable == "" {
			key, err := t.found(e.Public)
			if err != nil {
				return nil, err
			}
			if l, err = key.Listed(); err != nil {
				return nil, err
			}
			l.Ref, l.Name = e.URI, e.Object
		}
		all = append(all, l)
	}
	return all, nil
}

func listAgent(ctx context.Context, o Options) ([]Listed, error) {
	keys, err := agentKeys(ctx, o.limit())
	if err != nil {
		return nil, err
	}
	var all []Listed
	for _, k := range keys {
		l := Listed{Ref: agentScheme + ":" + k.fingerprint, Name: k.comment, Unusable: k.key.Type() + " keys are not verified by devices; use ed25519 or ecdsa-p256"}
		if k.pub != nil {
			key, err := found(k.comment, k.String(), k.pub, agentKey{})
			if err != nil {
				return nil, err
			}
			if l, err = key.Listed(); err != nil {
				return nil, err
			}
			l.Ref, l.Name = agentScheme+":"+k.fingerprint, k.comment
		}
		all = append(all, l)
	}
	return all, nil
}
