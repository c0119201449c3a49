// Command fairlead-sim takes fleets of real agents through scenarios, with faults, against a real service, and reports.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // units have zones, and this machine may have none

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/site"
	"github.com/fairlead/fairlead/simulator/virtual"
)

// version is set by the build.
var version = "0.0.0-dev"

// fleetGC has the collector come twice as often as it would by itself: a fleet is mostly memory that stays.
const fleetGC = 50

func main() {
	site.Child() // a simulated service is this program, too
	virtual.Child()
	conduct.Child()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(fleetGC)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	if err := newApp(os.Stdout, os.Stderr).RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-sim:", err)
		os.Exit(exitCode(err))
	}
}
