package site

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// lifetime of everything that people sign.
const lifetime = 365 * 24 * time.Hour

func (s *Site) key(name string) string { return filepath.Join(s.dir, "people", name) }

// hire makes a key for each.
func (s *Site) hire(names ...string) error {
	if err := os.MkdirAll(filepath.Join(s.dir, "people"), 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := signer.NewKey(s.key(name), keyfile.Ed25519, nil); err != nil {
			return fmt.Errorf("making the key of %s: %w", name, err)
		}
	}
	return nil
}

// keys are the public keys at paths without their ending, and how many of them must sign.
func keys(threshold int, paths ...string) (signer.Keys, error) {
	k := signer.Keys{Threshold: threshold}
	for _, path := range paths {
		pub, err := signer.LoadPublic(path + ".pub")
		if err != nil {
			return k, err
		}
		k.Keys = append(k.Keys, pub)
	}
	return k, nil
}

func loadSigner(path string) (keyfile.Signer, error) {
	key, err := keyfile.Load(path+".key", nil)
	if err != nil {
		return keyfile.Signer{}, err
	}
	return keyfile.NewSigner(key)
}

// sign lets people sign a bundle, one after the other. repo is what it is judged by; "" for the first root.
func (s *Site) sign(bundle, repo string, names ...string) error {
	for _, name := range names {
		key, err := loadSigner(s.key(name))
		if err != nil {
			return err
		}
		signing, err := signer.PrepareSigning(signer.SignOptions{Bundle: bundle, Repo: repo, Key: key, Now: time.Now()})
		if err == nil {
			err = signing.Sign()
		}
		if err != nil {
			return fmt.Errorf("%s signing %s: %w", name, filepath.Base(bundle), err)
		}
	}
	return nil
}

// bundle is the folder of the next bundle.
func (s *Site) bundle(name string) string {
	s.bundles++
	return filepath.Join(s.dir, "bundles", fmt.Sprintf("%03d-%s", s.bundles, name))
}

// ceremony makes the first root, the first targets file and the product.
func (s *Site) ceremony(ctx context.Context) error {
	if err := s.hire("alice", "bob", "dora", "carol"); err != nil {
		return err
	}
	two, err := keys(2, s.key("alice"), s.key("bob"))
	if err != nil {
		return err
	}
	timestamp, err := keys(1, s.online("timestamp"))
	if err != nil {
		return err
	}
	snapshot, err := keys(1, s.online("snapshot"))
	if err != nil {
		return err
	}
	product, err := keys(1, s.key("dora"))
	if err != nil {
		return err
	}
	out := s.bundle("first")
	_, err = signer.NewRoot(ctx, signer.NewRootOptions{Out: out, Lifetime: lifetime, Now: time.Now(), Roles: map[string]signer.Keys{
		"root": two, "targets": two, "timestamp": timestamp, "snapshot": snapshot,
	}})
	if err == nil {
		_, err = signer.AddProduct(ctx, signer.ProductOptions{Bundle: out, Product: s.o.Product, Lifetime: lifetime, Now: time.Now()}, product)
	}
	if err != nil {
		return fmt.Errorf("holding the ceremony: %w", err)
	}
	if err := s.sign(out, "", "alice", "bob"); err != nil {
		return err
	}
	return s.publish(ctx, out)
}

// online is an online key of the repository.
func (s *Site) online(name string) string { return filepath.Join(s.repo.Dir(), "state", "keys", name) }
