package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/fairlead/fairlead/agent"
)

// notify tells systemd how the daemon fares. Without systemd it tells nobody.
func notify(log *slog.Logger) agent.Notify {
	say := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("notify systemd", "error", err)
		}
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog of systemd", "error", err)
	}
	return agent.Notify{
		Ready:  func() { say(daemon.SdNotifyReady) },
		Status: func(line string) { say("STATUS=" + line) },
		Alive:  func() { say(daemon.SdNotifyWatchdog) },
		Every:  every / 2,
	}
}

// Limits of a reboot.
const (
	rebootCommand = time.Minute     // for the command to return
	rebootComes   = 5 * time.Minute // for the system to stop this process
)

// rebooter runs the command that reboots and waits to be stopped by it. A command that
// returns has only begun the reboot; to go on meanwhile would be to ask for it again.
func rebooter(argv []string, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		log.Info("rebooting", "command", argv)
		within, cancel := context.WithTimeout(ctx, rebootCommand)
		defer cancel()
		out, err := exec.CommandContext(within, argv[0], argv[1:]...).CombinedOutput()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %.200s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rebootComes):
			return errors.New("the command returned, and the system still runs")
		}
	}
}
