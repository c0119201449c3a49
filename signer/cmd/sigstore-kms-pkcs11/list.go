//go:build cgo

package main

import (
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// list tells what stands on the tokens that fit, as far as they show it to somebody who has not logged in, or, where a
// PIN is given and one token fits, to its user.
func list(text string) tokenuri.Listing {
	l := tokenuri.Listing{Tokens: []tokenuri.Token{}, Keys: []tokenuri.Entry{}}
	if err := fill(&l, text); err != nil {
		l.Error = err.Error()
	}
	return l
}

func fill(l *tokenuri.Listing, text string) error {
	uri, err := tokenuri.Parse(text)
	if err != nil {
		return err
	}
	m, err := openModule(uri)
	if err != nil {
		return err
	}
	defer m.close()
	all, err := m.tokens()
	if err != nil {
		return err
	}
	pin, err := pinOf(uri)
	if err != nil {
		return err
	}
	for _, t := range all {
		if !t.fits(uri) {
			continue
		}
		l.Tokens = append(l.Tokens, describe(t))
		entries, err := m.entriesOf(t, uri, pin, len(all))
		if err != nil {
			return fmt.Errorf("token=%q: %w", t.info.Label, err)
		}
		l.Keys = append(l.Keys, entries...)
	}
	return nil
}

func (m module) entriesOf(t slot, uri tokenuri.URI, pin []byte, tokens int) ([]tokenuri.Entry, error) {
	s, err := m.session(t)
	if err != nil {
		return nil, err
	}
	defer m.CloseSession(s.handle)
	// A PIN is of one token: it is not tried on others.
	if pin != nil && (tokens == 1 || uri.Token != "" || uri.Serial != "") {
		if err := s.login(pin, false); err != nil {
			return nil, err
		}
	}
	return s.entries(uri)
}

func describe(t slot) tokenuri.Token {
	trim := func(s string) string { return strings.TrimRight(s, " \x00") }
	return tokenuri.Token{
		Label: trim(t.info.Label), Serial: trim(t.info.SerialNumber), Manufacturer: trim(t.info.ManufacturerID), Model: trim(t.info.Model),
	}
}

// entries are the key pairs of the token.
func (s *session) entries(uri tokenuri.URI) ([]tokenuri.Entry, error) {
	objects, err := s.find(pkcs11.CKO_PUBLIC_KEY, tokenuri.URI{Object: uri.Object, ID: uri.ID})
	if err != nil {
		return nil, err
	}
	all := []tokenuri.Entry{}
	for _, o := range objects {
		a, err := s.GetAttributeValue(s.handle, o, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil),
		})
		if err != nil {
			return nil, fmt.Errorf("reading a key's name: %w", explain(err))
		}
		e := tokenuri.Entry{
			Object: string(a[0].Value),
			URI:    tokenuri.URI{Token: describe(s.slot).Label, Object: string(a[0].Value), ID: a[1].Value, Module: uri.Module}.String(),
		}
		if pub, err := s.publicOf(o); err != nil {
			e.Kind = err.Error()
		} else if e.Public, err = cryptoutils.MarshalPublicKeyToPEM(pub); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
