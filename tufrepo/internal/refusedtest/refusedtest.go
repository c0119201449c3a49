// Package refusedtest reads files that must be refused: KIND-NAME.txt, whose first line says what the refusal must say, then an empty line and
// the file itself.
package refusedtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Run hands each file of testdata/refused, so many at least, to the reader of its kind.
func Run(t *testing.T, least int, readers map[string]func(t *testing.T, body []byte) error) {
	t.Helper()
	files, err := filepath.Glob("testdata/refused/*.txt")
	if err != nil || len(files) < least {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		kind, _, _ := strings.Cut(name, "-")
		reader := readers[kind]
		if reader == nil {
			t.Fatalf("%s: of which kind?", name)
		}
		t.Run(name, func(t *testing.T) {
			head, body, _ := strings.Cut(Read(t, path), "\n\n")
			want, ok := strings.CutPrefix(head, "expect: ")
			if !ok || want == "" {
				t.Fatal("no expect: line")
			}
			if err := reader(t, []byte(body)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
}

// Read reads a file.
func Read(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Seed adds the files of a kind, without their first lines, to a fuzz target.
func Seed(f *testing.F, kind string) {
	f.Helper()
	files, err := filepath.Glob("testdata/refused/" + kind + "-*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds of kind %s (%v)", kind, err)
	}
	for _, path := range files {
		_, body, _ := strings.Cut(Read(f, path), "\n\n")
		f.Add([]byte(body))
	}
}
