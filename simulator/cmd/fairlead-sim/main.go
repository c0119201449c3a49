// Command fairlead-sim takes fleets of real agents through scenarios, with faults, against a real service, and reports.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead/fairlead/simulator/site"
)

// version is set by the build.
var version = "0.0.0-dev"

func main() {
	site.Child() // a simulated service is this program, too
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newApp(os.Stdout, os.Stderr).RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-sim:", err)
		os.Exit(exitCode(err))
	}
}
