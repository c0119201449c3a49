package tpmkey

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// DefaultDevice is the TPM as the kernel shares it.
const DefaultDevice = "/dev/tpmrm0"

// ErrOtherTPM says that the key does not belong to this TPM, or that the TPM was cleared since: the key is lost.
var ErrOtherTPM = errors.New("the key was made by another TPM, or this one was cleared since")

// Key is a key in a TPM. It is safe for concurrent use.
type Key struct {
	device  string
	public  tpm2.TPM2BPublic
	private tpm2.TPM2BPrivate
	pub     *ecdsa.PublicKey
	turn    sync.Locker
}

// Create makes a key in the TPM at device, a device file or the socket of an emulator, and returns its file.
func Create(device string) (file []byte, err error) {
	err = with(device, func(t transport.TPM, parent tpm2.NamedHandle) error {
		made, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template)}.Execute(t)
		if err != nil {
			return explain(device, "make a key", err)
		}
		file, err = blob{oidLoadable, true, int64(tpm2.TPMRHOwner), tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)}.encode()
		return err
	})
	return file, err
}

// template is an unrestricted signing key; the scheme is chosen when it signs.
var template = tpm2.TPMTPublic{
	Type:    tpm2.TPMAlgECC,
	NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
}

// Open reads a key file that Create made. The TPM is not asked before the key signs. The keys of a program take turns, because
// a TPM has room for three at once; nil is for a program that opens one.
func Open(device string, file []byte, turn sync.Locker) (*Key, error) {
	k, err := parse(file)
	if err != nil {
		return nil, err
	}
	if turn == nil {
		turn = &sync.Mutex{}
	}
	k.device, k.turn = device, turn
	return k, nil
}

// Check has the TPM sign something that means nothing.
func (k *Key) Check() error {
	_, err := k.Sign(nil, make([]byte, crypto.SHA256.Size()), crypto.SHA256)
	return err
}

// Public is an *ecdsa.PublicKey on P-256.
func (k *Key) Public() crypto.PublicKey { return k.pub }

var hashes = map[crypto.Hash]tpm2.TPMAlgID{
	crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
}

// Sign returns an ECDSA signature in ASN.1. The TPM has randomness of its own. Errors: ErrOtherTPM, fs.ErrNotExist where there
// is no TPM, and those of the TPM in words.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash, ok := hashes[opts.HashFunc()]
	if !ok || len(digest) != opts.HashFunc().Size() {
		return nil, fmt.Errorf("the key in the TPM signs SHA-256, SHA-384 and SHA-512, not %d bytes of %v", len(digest), opts.HashFunc())
	}
	k.turn.Lock()
	defer k.turn.Unlock()
	var sig []byte
	err := with(k.device, func(t transport.TPM, parent tpm2.NamedHandle) error {
		loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: k.private, InPublic: k.public}.Execute(t)
		if err != nil {
			return explain(k.device, "load the key of this device", err)
		}
		defer flush(t, loaded.ObjectHandle)
		made, err := tpm2.Sign{
			KeyHandle:  tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name},
			Digest:     tpm2.TPM2BDigest{Buffer: digest},
			InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: hash})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(t)
		if err != nil {
			return explain(k.device, "sign", err)
		}
		sig, err = signature(made)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !ecdsa.VerifyASN1(k.pub, digest, sig) {
		return nil, fmt.Errorf("the TPM %s made a signature that does not verify: it is damaged, or lies", k.device)
	}
	return sig, nil
}

func signature(made *tpm2.SignResponse) ([]byte, error) {
	s, err := made.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("reading the signature of the TPM: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer)})
}

// with opens the TPM, makes the parent of the device's key for the time of work, and leaves nothing behind.
func with(device string, work func(t transport.TPM, parent tpm2.NamedHandle) error) (err error) {
	defer func() { // go-tpm reads what the TPM answers by reflection
		if p := recover(); p != nil {
			err = fmt.Errorf("the TPM %s gave a malformed answer: %v", device, p)
		}
	}()
	t, err := open(device)
	if err != nil {
		return err
	}
	defer t.Close()
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return explain(device, "make the parent of the key", err)
	}
	defer flush(t, parent.ObjectHandle)
	return work(t, tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name})
}

// flush takes a key out of the TPM's memory; where that fails the kernel does it when the device is closed.
func flush(t transport.TPM, handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(t)
}

func open(device string) (transport.TPMCloser, error) {
	info, err := os.Stat(device)
	var t transport.TPMCloser
	if err == nil && info.Mode()&fs.ModeSocket != 0 {
		t, err = linuxudstpm.Open(device)
	} else if err == nil {
		t, err = linuxtpm.Open(device)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no TPM at %s: is it switched on in the firmware, and its driver loaded: %w", device, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the TPM %s may not be opened: run as root, or in the group that owns it: %w", device, err)
	case err != nil:
		return nil, fmt.Errorf("the TPM %s cannot be opened (a resource-managed one is wanted, such as %s): %w", device, DefaultDevice, err)
	}
	return t, nil
}

// explain says what an answer of the TPM means for people.
func explain(device, doing string, err error) error {
	says := ""
	switch {
	case errors.Is(err, tpm2.TPMRCIntegrity), errors.Is(err, tpm2.TPMRCBinding):
		return fmt.Errorf("the TPM %s does not know the key: %w: %w", device, ErrOtherTPM, err)
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		says = "its owner hierarchy has a password, which devices cannot give: clear it (tpm2_changeauth -c owner)"
	case errors.Is(err, tpm2.TPMRCHierarchy):
		says = "its owner hierarchy is switched off in the firmware"
	case errors.Is(err, tpm2.TPMRCLockout):
		says = "it is locked after wrong passwords: wait, or let its owner reset it (tpm2_dictionarylockout -c)"
	case errors.Is(err, tpm2.TPMRCObjectMemory), errors.Is(err, tpm2.TPMRCSessionMemory):
		says = "its memory is full of the keys of other programs: use " + DefaultDevice
	case errors.Is(err, tpm2.TPMRCRetry), errors.Is(err, tpm2.TPMRCYielded), errors.Is(err, tpm2.TPMRCTesting):
		says = "it is busy"
	case errors.Is(err, tpm2.TPMRCFailure):
		says = "it has failed its self test: switch the device off and on; then it is broken"
	}
	if says != "" {
		return fmt.Errorf("the TPM %s does not %s: %s: %w", device, doing, says, err)
	}
	return fmt.Errorf("the TPM %s does not %s: %w", device, doing, err)
}
