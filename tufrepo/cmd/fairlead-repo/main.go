// Command fairlead-repo keeps an image repository: it takes bundles in, keeps what is signed online fresh, removes
// what nobody needs any more, packs releases for devices without a network, and serves devices and operators; see
// packages tufrepo, service and director.
//
// Exit codes: 0 done; 1 failure; 2 usage; 3 the repository has moved on since the bundle was made; 4 another
// publisher is at work, or another process serves; 5 bundle refused; 6 something expires soon (status); 7 the
// audit log was changed (audit verify).
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
