package install

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLeftoversInTheJournalAreSwept: a crash while a head is being kept left a temporary file in the journal's folder, each
// time another one, for ever.
func TestLeftoversInTheJournalAreSwept(t *testing.T) {
	rel := makeRelease(t, testImage(2, 1))
	dir := t.TempDir()
	left := filepath.Join(dir, ".tmp-123")
	if err := os.WriteFile(left, []byte("half a he"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openTestSlot(t, fileSlot(t, len(rel.image)), SlotOptions{})
	if _, err := Run(t.Context(), plan(t, &memorySource{release: rel}, d, dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("it is still there")
	}
}
