package signer

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// Merged says how many signatures came over.
type Merged struct {
	*View
	Added int `json:"added"`
}

// Merge adds to the bundle dir the signatures that were made on a copy of it, other. Nothing else is taken from the
// copy: where its drafts say something else, it is refused. A signature that does not verify is left behind.
func Merge(dir, other string) (*Merged, error) {
	base, err := baseOf(dir, "", "")
	if err != nil {
		return nil, err
	}
	f, err := readFolder(dir, base)
	if err != nil {
		return nil, err
	}
	theirs, err := readFolder(other, base)
	if err != nil {
		return nil, err
	}
	added, changed := 0, map[string][]byte{}
	for _, file := range theirs.files {
		data, n, err := f.merge(file)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			added, changed[file.name] = added+n, data
		}
	}
	for name, data := range changed {
		if err := durable.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o644); err != nil {
			return nil, fmt.Errorf("merging %s: %w", name, err)
		}
	}
	v, err := ReadView(dir, "", "")
	if err != nil {
		return nil, err
	}
	return &Merged{v, added}, nil
}

// merge returns our file with the good signatures of theirs that it lacks.
func (f *folder) merge(theirs *metaFile) (data []byte, added int, err error) {
	var ours *metaFile
	for _, file := range f.files {
		if file.name == theirs.name {
			ours = file
		}
	}
	if ours == nil {
		return nil, 0, refuse("%s is not in %s: the two are not copies of one bundle", theirs.name, f.dir)
	}
	good, err := f.good(theirs)
	if err != nil {
		return nil, 0, err
	}
	have, err := f.good(ours)
	if err != nil {
		return nil, 0, err
	}
	maps.DeleteFunc(good, func(id string, _ bool) bool { return have[id] })
	if ours.root != nil {
		return mergeMeta(ours.name, ours.root, theirs.root, good)
	}
	return mergeMeta(ours.name, ours.targets, theirs.targets, good)
}

// good are the key ids whose signatures on a file verify and count.
func (f *folder) good(file *metaFile) (map[string]bool, error) {
	good := map[string]bool{}
	for _, e := range f.entitled(file) {
		rule, err := file.count(e, nil)
		if err != nil {
			return nil, err
		}
		for _, p := range rule.Signed {
			good[p.ID] = true
		}
	}
	return good, nil
}

// mergeMeta takes over the wanted signatures of theirs.
func mergeMeta[T metadata.Roles](name string, ours, theirs *metadata.Metadata[T], wanted map[string]bool) ([]byte, int, error) {
	same, err := sameSigned(ours, theirs)
	if err != nil {
		return nil, 0, err
	}
	if !same {
		return nil, 0, refuse("%s says something else in the two bundles: they are not copies of one; sign the same bundle", name)
	}
	// What stands under a wanted key's name here does not verify.
	merged := *ours
	merged.Signatures = slices.DeleteFunc(slices.Clone(ours.Signatures), func(s metadata.Signature) bool { return wanted[s.KeyID] })
	for _, s := range theirs.Signatures {
		if wanted[s.KeyID] {
			merged.Signatures = append(merged.Signatures, s)
		}
	}
	data, err := bundle.Encode(&merged)
	return data, len(wanted), err
}

// sameSigned compares what is signed, without the signatures.
func sameSigned[T metadata.Roles](a, b *metadata.Metadata[T]) (bool, error) {
	var data [2][]byte
	for i, m := range []*metadata.Metadata[T]{a, b} {
		c, err := cloneMeta(m)
		if err != nil {
			return false, err
		}
		if data[i], err = bundle.Encode(c); err != nil {
			return false, err
		}
	}
	return bytes.Equal(data[0], data[1]), nil
}
