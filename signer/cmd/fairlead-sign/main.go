// Command fairlead-sign is the release engineer's desk: keys, the root ceremony, products and releases. It works
// offline, on files; see package signer.
//
// Exit codes: 0 done; 1 failure; 2 usage; 3 wrong passphrase or PIN; 4 signatures are still missing (verify); 5 refused:
// the input is not valid or must not be used so.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
