package signer

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// TestRefused reads each file of testdata/refused, which says in its first line what the refusal must say. root- and targets-
// are metadata in a first bundle, whose other file is good; key- and pub- are key files; ref- are references to keys; manifest- and
// direction- are what they are called; artifact-, patch- and chunks- are in hex, and are read from the first byte to the last.
func TestRefused(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	files, err := filepath.Glob("testdata/refused/*.txt")
	if err != nil || len(files) < 220 {
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
	for kind, name := range map[string]string{
		"manifest-": "manifest.json", "direction-": "direction.json", "artifact-": "artifact.hex", "patch-": "patch.hex", "chunks-": "chunks.hex",
	} {
		if err := takeIn(t, kind, golden(t, name)); err != nil {
			t.Errorf("the good %s is refused: %v", name, err)
		}
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
	case "manifest":
		_, err := firmware.ParseManifest([]byte(body))
		return err
	case "direction":
		_, err := direction.Unverified([]byte(body))
		return err
	case "artifact", "patch", "chunks":
		return takeInBinary(t, kind, body)
	}
	t.Fatalf("%s: of which kind?", name)
	return nil
}

// takeInBinary reads all of a file that is given in hex.
func takeInBinary(t *testing.T, kind, body string) error {
	raw := must(hex.DecodeString(strings.ReplaceAll(body, "\n", "")))(t)
	dir := t.TempDir()
	file, base := filepath.Join(dir, "file"), filepath.Join(dir, "base")
	check(t, os.WriteFile(file, raw, 0o600))
	switch kind {
	case "artifact":
		return firmware.DecodeFile(t.Context(), file, filepath.Join(dir, "image"), nil)
	case "patch":
		check(t, os.WriteFile(base, append(bytes.Repeat([]byte("firmwear "), 8000), make([]byte, 70_000)...), 0o600))
		return delta.ApplyFile(t.Context(), base, file, filepath.Join(dir, "image"), delta.ApplyOptions{CheckBase: true})
	}
	_, err := chunk.Unpack(t.Context(), io.Discard, bytes.NewReader(raw), nil)
	return err
}
