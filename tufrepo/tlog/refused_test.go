package tlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// TestRefused reads each file of testdata/refused, which says in its first line what the refusal must say: policy- are log policies, proof-
// proofs of the entry leaf.json by policy.txt, leaf- entries.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			head, body, _ := strings.Cut(read(t, "refused/"+name), "\n\n")
			want, ok := strings.CutPrefix(head, "expect: ")
			if !ok || want == "" {
				t.Fatal("no expect: line")
			}
			if err := takeIn(t, name, body); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
	for name, good := range map[string]string{"policy-": "policy.txt", "proof-": "cam-1.0.0.tlog-proof", "leaf-": "leaf.json"} {
		if err := takeIn(t, name, read(t, good)); err != nil {
			t.Errorf("the good one is refused: %v", err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func takeIn(t *testing.T, name, body string) error {
	switch kind, _, _ := strings.Cut(name, "-"); kind {
	case "policy":
		_, err := tlog.ParsePolicy([]byte(body))
		return err
	case "proof":
		policy, err := tlog.ParsePolicy([]byte(read(t, "policy.txt")))
		if err != nil {
			t.Fatal(err)
		}
		_, err = policy.Verify([]byte(read(t, "leaf.json")), []byte(body))
		return err
	case "leaf":
		_, err := tlog.ParseLeaf([]byte(body))
		return err
	}
	t.Fatalf("%s: of which kind?", name)
	return nil
}
