package signer

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// SignOptions say who signs what.
type SignOptions struct {
	Bundle string
	Repo   string // repository, or a copy of its metadata, to judge the bundle by; "": what the bundle carries
	Root   string // root file that the signer trusts; "": the first root of the repository
	Key    keyfile.Signer
	Now    time.Time
	// TrustClock takes Now for right, whatever the files say of the time.
	TrustClock bool
}

// Signing is what one key signs in a bundle. It is read once: what View shows is what Sign signs.
type Signing struct {
	View *View  // the files that wait for this key; none if it has signed, or nothing is missing
	Key  Person // with its label, if it has one

	key  keyfile.Signer
	base *Base
}

// PrepareSigning reads a bundle for a key. It refuses a key that no file asks for, and a bundle that would not be
// published with any signatures.
func PrepareSigning(o SignOptions) (*Signing, error) {
	base, err := baseOf(o.Bundle, o.Repo, o.Root)
	if err != nil {
		return nil, err
	}
	base.trustClock = o.TrustClock
	if err := base.checkClock(o.Now); err != nil {
		return nil, err
	}
	f, err := readFolder(o.Bundle, base)
	if err != nil {
		return nil, err
	}
	if err := f.checkDraftClocks(o.Now); err != nil {
		return nil, err
	}
	v, err := f.view()
	if err != nil {
		return nil, err
	}
	key := Person{f.labels()[o.Key.ID()], o.Key.ID()}
	if err := f.signable(v, key, o.Now); err != nil {
		return nil, err
	}
	v.Files = slices.DeleteFunc(v.Files, func(file FileView) bool { return !file.asks(key.ID) })
	return &Signing{View: v, Key: key, key: o.Key, base: base}, nil
}

// Now reads the bundle again, as [ReadView] does, upon the base that was read before.
func (s *Signing) Now() (*View, error) {
	f, err := readFolder(s.View.Bundle, s.base)
	if err != nil {
		return nil, err
	}
	return f.view()
}

func (f *folder) signable(v *View, key Person, now time.Time) error {
	problems, err := f.faults(now, false)
	if err != nil {
		return err
	}
	if bad := wrong(problems); len(bad) > 0 {
		return refuse("not signed: the bundle would be refused whoever signs it:\n%w", bad)
	}
	if slices.ContainsFunc(v.Files, func(file FileView) bool { return file.knows(key.ID) }) {
		return nil
	}
	var asked []Person
	for _, file := range v.Files {
		for _, r := range file.Rules {
			asked = append(asked, r.Open...)
		}
	}
	slices.SortFunc(asked, comparePeople)
	return refuse("key %s signs nothing in this bundle; it waits for %s", key, orNobody(names(slices.Compact(asked))))
}

// knows reports whether any rule of the file names key id.
func (f FileView) knows(id string) bool {
	return slices.ContainsFunc(f.Rules, func(r Rule) bool {
		return slices.ContainsFunc(slices.Concat(r.Signed, r.Open, r.Wrong), func(p Person) bool { return p.ID == id })
	})
}

func orNobody(s string) string {
	if s == "" {
		return "nobody: it is complete"
	}
	return s
}

// Sign signs every file of the view and puts each in its place. Nothing is written before every signature is made and
// verified: a token that is pulled out, or lies, leaves the bundle as it was. A crash between two files leaves the first
// signed; signing again does the rest. A file that was changed since it was read stops the work.
func (s *Signing) Sign() error {
	signed := make([][]byte, len(s.View.Files))
	for i, file := range s.View.Files {
		if err := s.unchanged(file); err != nil {
			return err
		}
		var err error
		if signed[i], err = file.file.doc.Sign(s.key); err != nil {
			return fmt.Errorf("signing %s; the bundle is as it was: %w", file.Name, err)
		}
	}
	for _, file := range s.View.Files { // again: a token may have taken its time
		if err := s.unchanged(file); err != nil {
			return err
		}
	}
	for i, file := range s.View.Files {
		if err := durable.WriteFile(s.path(file), signed[i], 0o644); err != nil {
			return fmt.Errorf("signing %s: %w", file.Name, err)
		}
	}
	return nil
}

func (s *Signing) path(file FileView) string {
	return filepath.Join(s.View.Bundle, filepath.FromSlash(file.Name))
}

func (s *Signing) unchanged(file FileView) error {
	now, err := readFile(s.path(file), bundle.MaxTargets)
	if err != nil {
		return fmt.Errorf("signing %s: %w", file.Name, err)
	}
	if !bytes.Equal(now, file.file.raw) {
		return refuse("%s was changed after it was shown to you and is not signed; run sign again", file.Name)
	}
	return nil
}
