package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// directed is a direction that was verified, made for this device, and is not older than the
// one before.
func (l *loop) directed(d direction.Direction) {
	l.calm()
	s := l.m.state
	l.seen = d.Version
	switch {
	case s.busy() && d.Update == s.Update.ID && d.Target != nil:
		l.renewed(d)
	case s.revocable():
		l.next = &d
		l.supersede()
	default:
		l.next = &d
	}
	if d.Offline {
		l.goOffline(d)
	}
	l.advance()
}

// renewed: the direction under way, issued anew.
func (l *loop) renewed(d direction.Direction) {
	l.next = nil
	u := l.m.state.Update
	if d.Expires.Equal(u.Expires) && termsOf(d) == u.terms {
		return
	}
	l.paused = false
	l.end(l.m.note(func(u *update) { u.Expires, u.terms = d.Expires, termsOf(d) }))
	if q := l.m.state.Question; q.live() && q.Update == u.ID {
		later := *q
		later.Deadline = d.DeferUntil
		l.end(l.m.pose(later))
	}
}

// superseding says whether the download under way is to give way to another direction.
func (l *loop) superseding() bool {
	return l.next != nil && l.m.state.revocable()
}

// supersede ends the download under way in favour of next; if it runs, once it has stopped.
func (l *loop) supersede() {
	if l.work != nil {
		l.work.cancel(errSuperseded)
		return
	}
	detail := fmt.Sprintf("direction %d asks for nothing", l.next.Version)
	if t := l.next.Target; t != nil {
		detail = fmt.Sprintf("direction %d asks for %s instead", l.next.Version, t.Path)
	}
	if err := l.m.finish(Superseded, detail); err != nil {
		l.stumble(err)
	}
}

// consider begins what the newest direction asks for, unless that has been tried.
func (l *loop) consider(b boot.State) {
	d := l.next
	l.next = nil
	if d == nil {
		return
	}
	l.end(l.m.dismiss(*d))
	if d.Target == nil || l.m.state.ended(d.Update) {
		return
	}
	if d.Kind == direction.Ask {
		l.ask(b, *d)
		return
	}
	product, version, err := firmware.ParseTargetPath(d.Target.Path)
	if err != nil {
		l.trouble(err)
		return
	}
	err = l.m.begin(update{
		ID: d.Update, Product: product, From: l.m.holds(b.Running, b.Running).Version, To: version,
		Hardware: d.Hardware, Target: target(*d.Target), Expires: d.Expires, terms: termsOf(*d),
	})
	if err != nil {
		l.next = d
		l.stumble(err)
		return
	}
	l.download(b)
}

// download makes one attempt.
func (l *loop) download(b boot.State) {
	if l.superseding() {
		l.supersede()
		return
	}
	u := l.m.state.Update
	if u.Local || !l.enabled() {
		l.abandon()
		return
	}
	if l.up == nil || l.m.late() {
		return // the uplink is being opened, and advances when it is; or another window is awaited
	}
	if err := l.m.attempt(); err != nil {
		l.stumble(err)
		return
	}
	up := l.up
	a := l.newAttempt(b, up.repo, up.source)
	a.chosen = func(m *firmware.Manifest) error {
		return l.do(func() error {
			defer l.watch()
			return l.m.chosen(m, a.slot)
		})
	}
	a.identified = func(image firmware.Blob) error { return l.do(func() error { return l.m.identified(a.runs, image) }) }
	a.verify = func() error { return l.do(l.m.verifying) }
	a.progress = l.progress(u.ID)
	var result install.Result
	l.start(func(ctx context.Context) (err error) {
		if err := stale(u.Expires, l.now()); err != nil {
			return err
		}
		if result, err = a.run(ctx); err != nil && errors.Is(context.Cause(ctx), errWindow) {
			err = errWindow
		}
		l.raise(up.repo.Versions().Time)
		return err
	}, func(err error) { l.downloaded(result, err) })
}

// abandon ends a download that nobody asks for any more.
func (l *loop) abandon() {
	detail := "the local installation was interrupted: begin it again, it continues where it stopped"
	if !l.m.state.Update.Local {
		detail = "the cloud connection was switched off"
	}
	l.end(l.m.finish(Superseded, detail))
	l.pause(0)
}

// stale: a direction is good for beginning until it expires. The director issues it anew
// before, as long as it stands by it.
func stale(expires, now time.Time) error {
	if now.Before(expires) {
		return nil
	}
	return refuse(Expired, "the direction expired at %s and trusted time is %s: waiting for the director to renew it; is the clock right?",
		expires.Format(time.RFC3339), now.Format(time.RFC3339))
}

// downloaded is what comes after an attempt.
func (l *loop) downloaded(r install.Result, err error) {
	progress := r.Written+r.Unchanged+r.Zeroed > 0
	note := l.m.note(func(u *update) { u.Took = u.Took.and(r) })
	switch {
	case l.leave:
		return // the next start resumes
	case l.superseding():
		l.supersede()
	case note != nil:
		l.stumble(note)
		return
	case errors.Is(err, errAlready):
		l.end(l.m.end(wire.Committed, "", err.Error()))
	case err == nil:
		l.end(l.m.arrived())
	case errors.Is(err, errWindow):
		l.end(l.m.note(func(u *update) { u.Attempts = 0 })) // what was fetched stays
	default:
		l.failed(err, progress)
		return
	}
	l.advance()
}

// end is for transitions whose failure has no other way out than a later start.
func (l *loop) end(err error) {
	if err != nil {
		l.stumble(err)
	}
}

// failed repeats the attempt later, or ends the update.
func (l *loop) failed(err error, progress bool) {
	reason := ReasonOf(err)
	n := l.m.state.Update.Attempts
	if progress && reason == Unavailable {
		n = 0
		l.end(l.m.note(func(u *update) { u.Attempts = 0 }))
	}
	l.trouble(err)
	if n < reason.attempts(l.o.Retry.Attempts) {
		l.pause(max(l.o.Retry.wait(n, l.o.Rand), retryAfter(err)))
		l.o.Log.Warn("attempt failed, another one follows", "attempt", n, "reason", reason, "error", err)
		return
	}
	if err := l.m.finish(reason, err.Error()); err != nil {
		l.stumble(err)
		return
	}
	l.pause(0)
}

// retryAfter is how long whoever was asked wants to be left alone.
func retryAfter(err error) time.Duration {
	var later *client.RetryError
	var service *link.Error
	switch {
	case errors.As(err, &later):
		return later.After
	case errors.As(err, &service):
		return service.After
	}
	return 0
}

// prove reads a slot back that was verified before this start of the agent, and was not yet
// tried.
func (l *loop) prove() {
	u, progress := l.m.state.Update, l.progress(l.m.state.Update.ID)
	l.start(func(ctx context.Context) error { return l.readBack(ctx, u, progress) }, func(err error) {
		switch {
		case l.leave:
			return
		case err == nil:
			l.m.proven = true
		default:
			l.end(l.m.finish(ReasonOf(err), err.Error()))
		}
		l.advance()
	})
}
