//go:build cgo

// Command sigstore-kms-pkcs11 signs with keys on tokens and in HSMs, through their PKCS #11 modules.
//
// It is a plugin in sigstore's sense: it is started for one question and answers it.
//
//	sigstore-kms-pkcs11 v1 ARGS <MESSAGE   sigstore's plugin protocol, version v1; the key's id is an RFC 7512 URI
//	sigstore-kms-pkcs11 list URI           what stands on the tokens that fit, as JSON
//
// The module is the URI's module-path, else PKCS11_MODULE_PATH. The PIN is in the file of the URI's pin-source, else in
// FAIRLEAD_PIN; it is tried once, and only where a question needs it. Keys are Ed25519 and ECDSA on P-256. Nothing is
// kept between two questions, so a token may be exchanged between them; whoever asks has to verify.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

func main() {
	if err := run(os.Args, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sigstore-kms-pkcs11:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 3 || args[1] != common.ProtocolVersion && args[1] != tokenuri.ListCommand {
		return fmt.Errorf("it is a plugin for other programs, such as fairlead-sign; usage: sigstore-kms-pkcs11 %s ARGS, or %s URI",
			common.ProtocolVersion, tokenuri.ListCommand)
	}
	if args[1] == tokenuri.ListCommand {
		return json.NewEncoder(stdout).Encode(list(args[2]))
	}
	asked, err := handler.GetPluginArgs(args)
	if err != nil || asked.InitOptions == nil || asked.MethodArgs == nil {
		return handler.WriteErrorResponse(stdout, fmt.Errorf("the question is not of the protocol %s: %v", common.ProtocolVersion, err))
	}
	uri, err := tokenuri.Parse(asked.InitOptions.KeyResourceID)
	if err != nil {
		return handler.WriteErrorResponse(stdout, err)
	}
	_, err = handler.Dispatch(stdout, stdin, asked, key{uri})
	return err
}
