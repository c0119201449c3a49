package director

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// auditKeys is the name of the keys that sign heads of the audit log. No tenant can have it.
const auditKeys = "audit.heads"

// AuditKeys sign heads of the audit log, and verify them.
type AuditKeys struct {
	keyfile.Signer                    // the newest
	Public         []crypto.PublicKey // of all that ever signed
	PEM            []string           // the same
}

// AuditKeys loads them. Where there is none that signs, one is made: so whoever removes the
// private half and leaves the public one beside it changes the key.
func (d *Director) AuditKeys(ctx context.Context) (out AuditKeys, err error) {
	for n := 1; ; n++ {
		there, err := d.addAuditKey(&out, n)
		if err == nil && !there && out.Signer.ID() == "" {
			err = d.makeAuditKey(ctx, n)
			n--
		} else if err == nil && !there {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("key of the audit log: %w", err)
		}
	}
}

// addAuditKey adds the key of a number, of which one half may be missing; false if both are.
func (d *Director) addAuditKey(out *AuditKeys, n int) (there bool, err error) {
	path := d.keyPath(auditKeys, n)
	pubPath := strings.TrimSuffix(path, ".key") + ".pub"
	key, err := d.loadKey(path)
	var pub crypto.PublicKey
	switch {
	case err == nil:
		if out.Signer, err = keyfile.NewSigner(key); err == nil {
			pub = key.Public()
		}
	case errors.Is(err, fs.ErrNotExist):
		if pub, err = keyfile.LoadPublic(pubPath); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		out.Signer = keyfile.Signer{}
	}
	if err != nil {
		return false, err
	}
	text, err := publicPEM(pub)
	if err != nil {
		return false, err
	}
	out.Public, out.PEM = append(out.Public, pub), append(out.PEM, text)
	return true, durable.WriteFile(pubPath, []byte(text), 0o644)
}

func (d *Director) makeAuditKey(ctx context.Context, n int) error {
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		return err
	}
	return d.saveKey(ctx, d.keyPath(auditKeys, n), key)
}
