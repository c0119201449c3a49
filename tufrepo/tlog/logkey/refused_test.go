package logkey_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
)

func TestRefused(t *testing.T) {
	refusedtest.Run(t, 8, map[string]func(*testing.T, []byte) error{"key": func(t *testing.T, body []byte) error {
		path := filepath.Join(t.TempDir(), "log.key")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := logkey.Read(path)
		return err
	}})
}

// FuzzPublic: whatever has a public half has one line and a name, and its witness's half as well.
func FuzzPublic(f *testing.F) {
	skey, err := logkey.New("fw.example.com/releases")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(skey))
	refusedtest.Seed(f, "key")
	f.Fuzz(func(t *testing.T, raw []byte) {
		vkey, err := logkey.Public(string(raw))
		if err != nil {
			return
		}
		if name, _, ok := strings.Cut(vkey, "+"); !ok || name == "" || strings.ContainsAny(vkey, "\r\n ") {
			t.Errorf("%q", vkey)
		}
		if _, err := logkey.Witness(string(raw)); err != nil {
			t.Error(err)
		}
	})
}
