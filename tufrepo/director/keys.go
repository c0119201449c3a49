package director

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// TenantKey is the public half of an online key.
type TenantKey struct {
	ID     string `json:"id"`     // TUF key id
	Public string `json:"public"` // PEM
}

// MakeKey makes a tenant's online key and returns the public half. A key that no root
// names yet is returned again, so asking twice does no harm; with rotate, a key that the
// root names already gets a successor.
func (d *Director) MakeKey(ctx context.Context, tenant string, rotate bool) (TenantKey, error) {
	if err := wire.CheckID(tenant); err != nil {
		return TenantKey{}, refuse(wire.CodeBadRequest, "tenant: %v", err)
	}
	d.tenants.Lock()
	defer d.tenants.Unlock()
	keys, err := d.keys(tenant)
	if err != nil {
		return TenantKey{}, err
	}
	root, err := d.newestRoot(ctx, tenant)
	if err != nil {
		return TenantKey{}, err
	}
	if n := len(keys); n > 0 && !(rotate && named(root, keys[n-1])) {
		return public(keys[n-1])
	}
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		return TenantKey{}, err
	}
	if err := d.saveKey(ctx, d.keyPath(tenant, len(keys)+1), key); err != nil {
		return TenantKey{}, fmt.Errorf("online key of tenant %s: %w", tenant, err)
	}
	s, err := keyfile.NewSigner(key)
	if err != nil {
		return TenantKey{}, err
	}
	d.Log.Info("online key made", "tenant", tenant, "key", s.ID())
	return public(s)
}

func (d *Director) keyPath(tenant string, n int) string {
	return filepath.Join(d.Keys, tenant+"."+strconv.Itoa(n)+".key")
}

// keys loads a tenant's online keys in the order in which they were made.
func (d *Director) keys(tenant string) ([]keyfile.Signer, error) {
	var out []keyfile.Signer
	for n := 1; ; n++ {
		key, err := d.loadKey(d.keyPath(tenant, n))
		if errors.Is(err, fs.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("online key of tenant %s: %w", tenant, err)
		}
		s, err := keyfile.NewSigner(key)
		if err != nil {
			return nil, fmt.Errorf("online key of tenant %s: %w", tenant, err)
		}
		out = append(out, s)
	}
}

// saveKey writes a new key, sealed.
func (d *Director) saveKey(ctx context.Context, path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return d.writeSealed(ctx, path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (d *Director) loadKey(path string) (crypto.Signer, error) {
	sealed, err := readSecret(path, maxSealed)
	if err != nil {
		return nil, err
	}
	data, err := d.Seal.Open(context.Background(), filepath.Base(path), sealed)
	if err != nil {
		return nil, err
	}
	return parseKey(data)
}

// parseKey reads PKCS #8 in PEM.
func parseKey(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil || len(rest) != 0 {
		return nil, errors.New("it is not one PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("it is a %T, which cannot sign", key)
	}
	return signer, nil
}

func public(s keyfile.Signer) (TenantKey, error) {
	pub, err := s.PublicKey()
	if err != nil {
		return TenantKey{}, err
	}
	text, err := publicPEM(pub)
	return TenantKey{ID: s.ID(), Public: text}, err
}

func publicPEM(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("printing a public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// named says whether root lets s sign directions.
func named(root *rootMeta, s keyfile.Signer) bool {
	if root == nil || root.Signed.Roles[metadata.TARGETS] == nil {
		return false
	}
	return slices.Contains(root.Signed.Roles[metadata.TARGETS].KeyIDs, s.ID())
}
