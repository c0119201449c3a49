package signer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// TestRefused reads each file of testdata/refused, which says in its first line what the refusal must say. root- and targets-
// are metadata in a first bundle, whose other file is good; key- and pub- are key files; ref- are references to keys.
func TestRefused(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	files, err := filepath.Glob("testdata/refused/*.txt")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			head, body, _ := strings.Cut(string(must(os.ReadFile(path))(t)), "\n\n")
			want, ok := strings.CutPrefix(head, "expect: ")
			if !ok || want == "" {
				t.Fatal("no expect: line")
			}
			if err := takeIn(t, name, body); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
	if err := takeIn(t, "root-good", golden(t, "1.root.json")); err != nil && !strings.Contains(err.Error(), "signatures are still missing") {
		t.Errorf("the good ones are refused: %v", err)
	}
}

func golden(t *testing.T, name string) string {
	return string(must(os.ReadFile(filepath.Join("testdata/good", name)))(t))
}

func takeIn(t *testing.T, name, body string) error {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	check(t, os.WriteFile(file, []byte(body), 0o600))
	switch kind, _, _ := strings.Cut(name, "-"); kind {
	case "root", "targets":
		check(t, os.Mkdir(filepath.Join(dir, "metadata"), 0o700))
		check(t, os.Remove(file))
		for _, role := range []string{"root", "targets"} {
			content := golden(t, "1."+role+".json")
			if role == kind {
				content = body
			}
			check(t, os.WriteFile(filepath.Join(dir, "metadata/1."+role+".json"), []byte(content), 0o600))
		}
		return CheckBundle(dir, "", "", start)
	case "key":
		_, err := keyfile.Load(file, nil)
		return err
	case "pub":
		_, err := LoadPublic(file)
		return err
	case "ref":
		_, err := keyref.Open(t.Context(), body, keyref.Options{})
		return err
	}
	t.Fatalf("%s: of which kind?", name)
	return nil
}
