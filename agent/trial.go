package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
)

// commitTries is how often the bootloader is asked to commit before the trial counts as bad.
const commitTries = 3

// try is the trial: the checks decide. What the network says of metadata has no part in it.
func (l *loop) try(b boot.State) {
	if err := l.m.startTrial(); err != nil {
		l.doubt(err)
		return
	}
	u := l.m.state.Update
	if u.Reason != "" {
		l.pause(0)
		return
	}
	c := health.Config{
		Hooks: l.cfg.Health.Hooks, Deadline: time.Duration(l.cfg.Health.Deadline), Builtin: l.o.Health,
		Product: u.Product, Version: u.To, Slot: string(b.Running), Log: l.o.Log,
	}
	if u.Reached && l.enabled() {
		c.Builtin = append([]health.Check{l.check()}, c.Builtin...)
	}
	var results []health.Result
	l.start(func(ctx context.Context) (err error) {
		results, err = health.Run(ctx, c)
		return err
	}, func(err error) {
		switch {
		case l.leave:
			return // stopped from outside: the next start asks again
		case err == nil:
			l.commit()
		default:
			l.condemn(Health, verdict(results, err))
		}
	})
}

// verdict is the error with the last words of the check that said no.
func verdict(results []health.Result, err error) string {
	text := strings.TrimPrefix(err.Error(), health.ErrUnhealthy.Error()+": ")
	if n := len(results); n > 0 && !results[n-1].OK && !strings.Contains(text, results[n-1].Output) {
		text = fmt.Sprintf("%s: %s", text, results[n-1].Output)
	}
	return text
}

// commit keeps the release. If the bootloader does not take it, the old one is the safer.
func (l *loop) commit() {
	var err error
	for range commitTries {
		if err = l.m.commit(); err == nil {
			break
		}
		l.o.Log.Error("commit", "error", err)
	}
	if b, stateErr := l.boot.State(); err != nil && (stateErr != nil || b.Committed != l.m.state.Update.Slot) {
		l.condemn(BootFailed, fmt.Sprintf("the bootloader does not commit: %v", err))
		return
	}
	if err != nil {
		l.stumble(err) // committed; only our own files do not say so yet
		return
	}
	l.advance()
}

// condemn starts the way back.
func (l *loop) condemn(reason Reason, detail string) {
	if err := l.m.condemn(reason, detail); err != nil {
		l.doubt(err)
		return
	}
	l.advance()
}

// doubt: in the trial, not even our own files can be written. A system like that is not to
// be kept. The bootloader has counted this start, so the reboot leads back even if it
// cannot be told.
func (l *loop) doubt(err error) {
	l.trouble(fmt.Errorf("the release on trial cannot be judged, going back: %w", err))
	if err := l.boot.Cancel(); err != nil && !errors.Is(err, boot.ErrLost) {
		l.o.Log.Error("cancel the trial", "error", err)
	}
	l.quit(ErrReboot)
}
