//go:build !kms && !kms_aws && !kms_gcp && !kms_azure && !kms_vault

package kms_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director"
)

// TestWithoutTheTag: the error says how to build one that can, and the key file stays as it is.
func TestWithoutTheTag(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fairlead.key")
	if _, err := director.MakeSealKey(path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	err := director.WrapSealKey(t.Context(), path, "hashivault://fairlead")
	if err == nil || !strings.Contains(err.Error(), "make build KMS=kms_vault") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}
}
