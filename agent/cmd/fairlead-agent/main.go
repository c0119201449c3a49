// Command fairlead-agent is the device's side of firmware updates: the daemon that takes
// directions from a service, and the same steps by hand.
//
// # Exit codes
//
//	0   done
//	1   failed: the message says at what
//	2   wrong use: unknown command, flag or configuration key
//	3   nothing to do: nothing new, nothing under way, enrolled already
//	4   a reboot is needed, and was left to the caller
//	5   refused by policy: wrong hardware or product, older release, busy, ...
//	6   not verified: signature, rolled-back, expired or corrupt metadata or image
//	7   no space, or the slot is too small
//	8   unavailable: no network, no service, captive portal, wrong clock for TLS
//	9   another agent is running
//	10  not enrolled
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by -ldflags "-X main.version=...".
var version = "0.0.0-dev"

func main() {
	limitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
