package keyref

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// hashFunc is what P-256 keys sign. Ed25519 keys take the message whole.
const hashFunc = crypto.SHA256

// token is one key behind the plugin.
type token struct {
	ctx    context.Context // of Open: a crypto key has nowhere else to take it from
	plugin plugin
	uri    tokenuri.URI
	where  string
	pin    func() ([]byte, error)
	known  []byte // the PIN, once it was asked for
	dead   error  // set by a wrong PIN, which is not tried again
}

func newToken(ctx context.Context, ref string, o Options) (*token, error) {
	uri, err := tokenuri.Parse(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	p, err := findPlugin(o.limit())
	if err != nil {
		return nil, err
	}
	return &token{ctx: ctx, plugin: p, uri: uri, where: "key " + uri.String(), pin: o.PIN}, nil
}

func openToken(ctx context.Context, ref string, o Options) (*Key, error) {
	t, err := newToken(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	answer, err := t.ask(&common.MethodArgs{
		MethodName: common.PublicKeyMethodName, PublicKey: &common.PublicKeyArgs{PublicKeyOptions: &common.PublicKeyOptions{}},
	}, nil, false)
	// Some tokens show even public keys only to those who have logged in.
	if errors.Is(err, ErrPIN) && t.pin != nil && t.known == nil {
		answer, err = t.ask(&common.MethodArgs{
			MethodName: common.PublicKeyMethodName, PublicKey: &common.PublicKeyArgs{PublicKeyOptions: &common.PublicKeyOptions{}},
		}, nil, true)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.where, err)
	}
	if answer.PublicKey == nil {
		return nil, fmt.Errorf("%s: %s answered without a public key", t.where, pluginName)
	}
	return t.found(answer.PublicKey.PublicKeyPEM)
}

func (t *token) found(pem []byte) (*Key, error) {
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: public key: %w", t.where, err)
	}
	name := t.uri.Object
	if name == "" {
		name = hex.EncodeToString(t.uri.ID)
	}
	return found(name, t.where, pub, t)
}

// SignMessage implements keyfile.MessageSigner.
func (t *token) SignMessage(msg []byte) ([]byte, error) {
	answer, err := t.ask(&common.MethodArgs{
		MethodName: common.SignMessageMethodName, SignMessage: &common.SignMessageArgs{SignOptions: &common.SignOptions{}},
	}, msg, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.where, err)
	}
	if answer.SignMessage == nil || len(answer.SignMessage.Signature) == 0 {
		return nil, fmt.Errorf("%s: %s answered without a signature", t.where, pluginName)
	}
	return answer.SignMessage.Signature, nil
}

// ask calls a method, as somebody who has logged in if login is set.
func (t *token) ask(method *common.MethodArgs, msg []byte, login bool) (*common.PluginResp, error) {
	if t.dead != nil {
		return nil, t.dead
	}
	if login && t.known == nil && t.uri.PINFile == "" && t.pin != nil {
		var err error
		if t.known, err = t.pin(); err != nil {
			return nil, err
		}
	}
	pin := t.known
	if !login {
		pin = nil
	}
	answer, err := t.plugin.ask(t.ctx, t.uri.String(), method, msg, pin)
	if login && errors.Is(err, ErrPIN) {
		t.dead = fmt.Errorf("%w; it is not tried again", err)
		return nil, t.dead
	}
	return answer, err
}

// Create makes a key pair within a token; the reference must name the token and the object to be.
func Create(ctx context.Context, ref string, alg keyfile.Algorithm, o Options) (*Key, error) {
	if err := alg.Check(); err != nil {
		return nil, err
	}
	if Scheme(ref) != tokenuri.Scheme {
		return nil, fmt.Errorf("key %s: %w in which keys can be made; make it with that service's own tool", ref, ErrReference)
	}
	t, err := newToken(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	answer, err := t.ask(&common.MethodArgs{
		MethodName: common.CreateKeyMethodName, CreateKey: &common.CreateKeyArgs{Algorithm: string(alg)},
	}, nil, true)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", t.where, err)
	}
	if answer.CreateKey == nil {
		return nil, fmt.Errorf("making %s: %s answered without a public key", t.where, pluginName)
	}
	return t.found(answer.CreateKey.PublicKeyPEM)
}
