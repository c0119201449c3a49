package tpmkey

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// maxFile bounds a key file, in bytes.
const maxFile = 8 << 10

const pemType = "TSS2 PRIVATE KEY"

var oidLoadable = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}

// blob is the DER of a key file.
type blob struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"optional,explicit,tag:0"`
	Parent    int64
	Public    []byte
	Private   []byte
}

func (b blob) encode() ([]byte, error) {
	der, err := asn1.Marshal(b)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// parse reads a key file, which may be anybody's.
func parse(raw []byte) (k *Key, err error) {
	defer func() { // go-tpm reads TPM structures by reflection
		if p := recover(); p != nil {
			k, err = nil, fmt.Errorf("it is malformed: %v", p)
		}
	}()
	if len(raw) > maxFile {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(raw), maxFile)
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != pemType || len(rest) > 0 {
		return nil, errors.New("it is not one PEM block of type " + pemType)
	}
	var b blob
	if rest, err := asn1.Unmarshal(block.Bytes, &b); err != nil || len(rest) > 0 {
		return nil, errors.New("its DER is not that of a key in a TPM")
	}
	if !b.Type.Equal(oidLoadable) || !b.EmptyAuth || b.Parent != int64(tpm2.TPMRHOwner) {
		return nil, errors.New("it is for a key with a password, or with another parent than the owner hierarchy: this program made none such")
	}
	return b.key()
}

func (b blob) key() (*Key, error) {
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](b.Public)
	if err != nil {
		return nil, fmt.Errorf("its public part: %w", err)
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](b.Private)
	if err != nil {
		return nil, fmt.Errorf("its private part: %w", err)
	}
	contents, err := public.Contents()
	if err != nil {
		return nil, fmt.Errorf("its public part: %w", err)
	}
	pub, err := tpm2.Pub(*contents)
	if err != nil {
		return nil, fmt.Errorf("its public part: %w", err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || key.Curve.Params().BitSize != 256 {
		return nil, errors.New("it is not for an ECDSA key on P-256")
	}
	return &Key{public: *public, private: *private, pub: key}, nil
}
