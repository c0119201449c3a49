package tufrepo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// TestKeyByReference: a key outside of the folder is an online key; the reference is followed for each signature, and what it
// leads to has to be the key of before.
func TestKeyByReference(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	save := func(name string) string {
		key, err := keyfile.Generate(keyfile.ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		os.Remove(file)
		if err := keyfile.Save(file, key, nil); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := save("far.key")
	key, err := w.repo.AddKey(t.Context(), "far", file)
	if err != nil || key.Where != file || key.Algorithm != keyfile.ECDSAP256 {
		t.Fatalf("%+v, %v", key, err)
	}
	if _, err := key.signer.SignMessage(strings.NewReader("hello")); err != nil {
		t.Error(err)
	}
	all, err := w.repo.Keys()
	if err != nil || len(all) != 3 || all[0].Name != "far" || all[0].ID != key.ID {
		t.Errorf("%+v, %v", all, err)
	}
	for name, c := range map[string]struct {
		ref string
		is  error
	}{
		"far":       {file, fs.ErrExist},
		"timestamp": {file, fs.ErrExist},
		"near":      {"far.key", nil},
		"gone":      {filepath.Join(dir, "gone.key"), fs.ErrNotExist},
		"nowhere":   {"ftp://key", keyref.ErrReference},
		"lines":     {file + "\nssh-agent:x", keyref.ErrReference},
		"long":      {"/" + strings.Repeat("x", maxRef), keyref.ErrReference},
		"../up":     {file, nil},
	} {
		if _, err := w.repo.AddKey(t.Context(), name, c.ref); err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s, %s: %v", name, c.ref, err)
		}
	}
	save("far.key")
	if _, err := key.signer.SignMessage(strings.NewReader("hello")); !errors.Is(err, keyfile.ErrSignature) {
		t.Errorf("the file holds another key now: %v", err)
	}
	if err := os.WriteFile(w.repo.path("state/keys/far.ref"), []byte("far.key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Keys(); err == nil || !strings.Contains(err.Error(), "whole path") {
		t.Errorf("a reference that was altered: %v", err)
	}
}
