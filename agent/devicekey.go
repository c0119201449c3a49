package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/agent/tpmkey"
)

// tpmScheme begins a reference to a key in a TPM; the device file may follow.
const tpmScheme = "tpm:"

// tpm is the device file of the TPM that holds the key; false where the key lies in a file.
func (c Config) tpm() (device string, ok bool) {
	device, ok = strings.CutPrefix(c.Key, tpmScheme)
	if ok && device == "" {
		device = tpmkey.DefaultDevice
	}
	return device, ok
}

func (c Config) checkKey() error {
	if device, ok := c.tpm(); c.Key != "" && (!ok || !filepath.IsAbs(device)) {
		return keyError("key", "%q: leave it out for a key in a file, or write \"tpm:\" or \"tpm:/dev/tpmrm0\"", c.Key)
	}
	return nil
}

// makeKey loads the device's key, or makes it. A key that is there already is never replaced.
func (a *Agent) makeKey() (crypto.Signer, error) {
	key, err := a.loadKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if device, ok := a.cfg.tpm(); ok {
		file, err := tpmkey.Create(device)
		if err == nil {
			err = a.o.Disk.WriteFile(a.path(tpmKeyName), file, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("device key: %w", err)
		}
		return a.loadKey()
	}
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return made, a.o.Disk.WriteFile(a.path(keyName), b, 0o600)
}

// loadKey reads the device's key, where the configuration says that it is. An absent file is fs.ErrNotExist; an absent
// TPM shows itself when the key is to sign.
func (a *Agent) loadKey() (crypto.Signer, error) {
	device, inTPM := a.cfg.tpm()
	if !inTPM {
		return a.loadKeyFile()
	}
	file, err := a.o.Disk.ReadFile(a.path(tpmKeyName))
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	key, err := tpmkey.Open(device, file, &a.tpm)
	if err != nil {
		return nil, fmt.Errorf("device key %s: %w: remove it and %s, and enrol anew", a.path(tpmKeyName), err, identityName)
	}
	return key, nil
}

func (a *Agent) loadKeyFile() (crypto.Signer, error) {
	path := a.path(keyName)
	info, err := a.o.Disk.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("device key %s can be read by others: chmod 600 it, and enrol anew if others had access", path)
	}
	b, err := a.o.Disk.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("device key %s is not PEM: remove it and enrol anew", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("device key %s: remove it and enrol anew: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("device key %s is a %T, not ECDSA: remove it and enrol anew", path, parsed)
	}
	return key, nil
}
