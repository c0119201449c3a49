package signer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
)

// ProductOptions describe a change of the products in the targets file. All of them are made upon a published
// state or upon a bundle that is not published yet, in place: exactly one of Base and Bundle is set.
type ProductOptions struct {
	Out      string // bundle folder to make; empty with Bundle
	Base     *Base
	Bundle   string
	Product  string
	Lifetime time.Duration
	Now      time.Time
}

// AddProduct drafts a targets file that hands "<product>/*" to keys. The product's role file comes with its first
// release. More products may come in with the same keys.
func AddProduct(ctx context.Context, o ProductOptions, keys Keys, more ...string) (*Draft, error) {
	products := append([]string{o.Product}, more...)
	for _, product := range products {
		if err := firmware.CheckProduct(product); err != nil {
			return nil, refusal{err}
		}
	}
	if err := keys.check(o.Product); err != nil {
		return nil, err
	}
	return changeTargets(ctx, o, func(d *drafts) error {
		for _, product := range products {
			if err := addDelegation(d.targets, product, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

func addDelegation(targets *targetsMeta, product string, keys Keys) error {
	if delegation(targets, product) != nil {
		return refuse("product %s exists already; to change its keys use: product change %s", product, product)
	}
	s := &targets.Signed
	if s.Delegations == nil {
		s.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	s.Delegations.Roles = append(s.Delegations.Roles, metadata.DelegatedRole{
		Name:        product,
		KeyIDs:      []string{},
		Threshold:   keys.Threshold,
		Terminating: true,
		Paths:       []string{product + "/*"},
	})
	return enterProduct(s, product, keys.Keys, owners(s.UnrecognizedFields))
}

func enterProduct(s *metadata.TargetsType, product string, keys []Public, labels map[string]string) error {
	for _, k := range keys {
		if slices.Contains(delegationOf(s, product).KeyIDs, k.ID) {
			return refuse("key %s signs for %s already", k.Person, product)
		}
		if err := s.AddKey(k.Key, product); err != nil {
			return fmt.Errorf("adding key %s to %s: %w", k.Person, product, err)
		}
		if k.Owner != "" {
			labels[k.ID] = k.Owner
		}
	}
	setOwners(s.UnrecognizedFields, labels, s.Delegations.Keys)
	return nil
}

// ChangeProduct drafts a targets file with other keys or another threshold for a product. Where the product's
// published role file would not be valid under them, the bundle also has that file's successor.
func ChangeProduct(ctx context.Context, o ProductOptions, c RoleChange) (*Draft, error) {
	return changeTargets(ctx, o, func(d *drafts) error {
		if err := changeDelegation(&d.targets.Signed, o.Product, c); err != nil {
			return err
		}
		if o.Base == nil {
			return nil
		}
		published := o.Base.Role(o.Product)
		if published == nil || d.targets.VerifyDelegate(o.Product, published) == nil {
			return nil
		}
		next, err := successor(published, o.Now, o.Lifetime)
		d.products = map[string]*targetsMeta{o.Product: next}
		return err
	})
}

func changeDelegation(s *metadata.TargetsType, product string, c RoleChange) error {
	d := delegationOf(s, product)
	if d == nil {
		return unknownProduct(s, product)
	}
	labels := owners(s.UnrecognizedFields)
	for _, given := range c.Remove {
		id, err := findKey(given, d.KeyIDs, labels)
		if err != nil {
			return fmt.Errorf("removing a key from %s: %w", product, err)
		}
		if err := s.RevokeKey(id, product); err != nil {
			return fmt.Errorf("removing key %s from %s: %w", given, product, err)
		}
	}
	if c.Threshold != 0 {
		d.Threshold = c.Threshold
	}
	if err := enterProduct(s, product, c.Add, labels); err != nil {
		return err
	}
	return checkThreshold(product, d.Threshold, len(d.KeyIDs))
}

// Renew drafts successors of the targets file or of product roles, unchanged but for their expiry.
func Renew(ctx context.Context, o ProductOptions, roles []string) (*Draft, error) {
	if err := o.Base.ready(o.Now); err != nil {
		return nil, err
	}
	d := drafts{products: map[string]*targetsMeta{}}
	for _, role := range roles {
		published := o.Base.Role(role)
		if role == metadata.TARGETS {
			published = o.Base.Targets()
		}
		if published == nil {
			return nil, refuse("nothing is published for role %q; there are %s", role, list(append([]string{metadata.TARGETS}, o.Base.Products()...)))
		}
		next, err := successor(published, o.Now, o.Lifetime)
		if err != nil {
			return nil, err
		}
		if role == metadata.TARGETS {
			d.targets = next
			continue
		}
		d.products[role] = next
	}
	return writeDraft(ctx, o.Out, d, o.Base, nil)
}

// changeTargets runs change on a draft of the targets file: the published one's successor, or the bundle's own.
func changeTargets(ctx context.Context, o ProductOptions, change func(*drafts) error) (*Draft, error) {
	if o.Bundle != "" {
		return redraft(ctx, o, change)
	}
	if err := o.Base.ready(o.Now); err != nil {
		return nil, err
	}
	next, err := successor(o.Base.Targets(), o.Now, o.Lifetime)
	if err != nil {
		return nil, err
	}
	d := drafts{targets: next}
	if err := change(&d); err != nil {
		return nil, err
	}
	return writeDraft(ctx, o.Out, d, o.Base, o.Base.warnings(o.Now, o.Product))
}

func delegation(targets *targetsMeta, product string) *metadata.DelegatedRole {
	return delegationOf(&targets.Signed, product)
}

func delegationOf(s *metadata.TargetsType, product string) *metadata.DelegatedRole {
	if s.Delegations == nil {
		return nil
	}
	for i := range s.Delegations.Roles {
		if s.Delegations.Roles[i].Name == product {
			return &s.Delegations.Roles[i]
		}
	}
	return nil
}

// delegated are the names of all products of a targets file.
func delegated(s *metadata.TargetsType) []string {
	var products []string
	if s.Delegations != nil {
		for _, d := range s.Delegations.Roles {
			products = append(products, d.Name)
		}
	}
	slices.Sort(products)
	return products
}

func unknownProduct(s *metadata.TargetsType, product string) error {
	return refuse("product %q is not known here; there are %s; a new one is made by: product add %s", product, list(delegated(s)), product)
}
