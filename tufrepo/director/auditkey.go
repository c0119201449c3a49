package director

import (
	"context"
	"crypto"
	"fmt"
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

// AuditKeys loads them; the first is made if there is none. The public halves lie beside them
// as well, for those who check the log without the service.
func (d *Director) AuditKeys(ctx context.Context) (out AuditKeys, err error) {
	all, err := d.keys(auditKeys)
	if err == nil && len(all) == 0 {
		if err = d.makeAuditKey(ctx); err == nil {
			all, err = d.keys(auditKeys)
		}
	}
	for i, s := range all {
		pub, e := s.PublicKey()
		if e != nil {
			return out, fmt.Errorf("key of the audit log: %w", e)
		}
		text, e := publicPEM(pub)
		path := strings.TrimSuffix(d.keyPath(auditKeys, i+1), ".key") + ".pub"
		if e == nil {
			e = durable.WriteFile(path, []byte(text), 0o644)
		}
		if e != nil {
			return out, fmt.Errorf("key of the audit log: %w", e)
		}
		out.Signer, out.Public, out.PEM = s, append(out.Public, pub), append(out.PEM, text)
	}
	if err != nil {
		return out, fmt.Errorf("key of the audit log: %w", err)
	}
	return out, nil
}

func (d *Director) makeAuditKey(ctx context.Context) error {
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		return err
	}
	return d.saveKey(ctx, d.keyPath(auditKeys, 1), key)
}
