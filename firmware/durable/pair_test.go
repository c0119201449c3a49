package durable

import (
	"testing"
)

func TestPairKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"one", "two", "three", ""} {
		if err := SavePair(dir, "state", []byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := LoadPair(dir, "state")
		if err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}
