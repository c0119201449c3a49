//go:build !cgo

// Command sigstore-kms-pkcs11 signs with keys on tokens; it needs cgo, and this build has none.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "sigstore-kms-pkcs11 was built without cgo and can load no module: install a C compiler and build it again")
	os.Exit(1)
}
