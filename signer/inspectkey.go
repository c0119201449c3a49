package signer

import (
	"encoding/pem"
	"errors"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// KeyInfo is what is shown of a key file.
type KeyInfo struct {
	Type      keyfile.Algorithm `json:"type,omitempty"` // "" for an encrypted private key
	ID        string            `json:"id,omitempty"`   // TUF key id; "" for an encrypted private key
	Encrypted bool              `json:"encrypted"`
	Open      bool              `json:"readable_by_others,omitempty"` // a private key that others can read
}

func (in *Inspection) key() error {
	info, err := readKeyInfo(in.Path, in.Kind)
	if err != nil {
		return err
	}
	in.Content = info
	if info.Encrypted {
		in.say("encrypted with a passphrase; its id and type stand in the .pub file")
	} else {
		in.say("type %s", info.Type)
		in.say("key id %s", info.ID)
	}
	if in.Kind == KindPrivateKey && !info.Encrypted && !info.Open {
		in.say("not encrypted: whoever reads the file has the key")
	}
	if info.Open {
		in.say("others can read it: no command will use it; run: chmod 600 %s", in.Path)
	}
	return nil
}

func readKeyInfo(path string, kind Kind) (KeyInfo, error) {
	if kind == KindPublicKey {
		pub, err := keyfile.LoadPublic(path)
		if err != nil {
			return KeyInfo{}, refusal{err}
		}
		return publicInfo(pub)
	}
	key, err := keyfile.Load(path, nil)
	switch {
	case errors.Is(err, keyfile.ErrPermissions):
		return KeyInfo{Encrypted: isEncrypted(path), Open: true}, nil
	case errors.Is(err, keyfile.ErrPassphrase):
		return KeyInfo{Encrypted: true}, nil
	case err != nil:
		return KeyInfo{}, refusal{err}
	}
	return publicInfo(key.Public())
}

func publicInfo(pub any) (KeyInfo, error) {
	alg, err := keyfile.AlgorithmOf(pub)
	if err != nil {
		return KeyInfo{}, refusal{err}
	}
	key, err := keyfile.TUFKey(pub)
	if err != nil {
		return KeyInfo{}, refusal{err}
	}
	id, err := key.ID()
	return KeyInfo{Type: alg, ID: id}, err
}

func isEncrypted(path string) bool {
	data, err := readFile(path, keyfile.MaxFile)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(data)
	return block != nil && block.Type == string(cryptoutils.EncryptedSigstorePrivateKeyPEMType)
}
